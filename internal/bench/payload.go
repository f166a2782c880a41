package bench

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strconv"
)

const (
	payloadSize = 1024
	// seqBase gives every sequence number ten digits, so that a message keeps its
	// length and is written in place.
	seqBase   = 1_000_000_000
	seqDigits = 10
	eventType = "bench.event"
)

// message is one publish body, reused: the numbers and a slice of text are written
// over in place. Not safe for concurrent use.
type message struct {
	body      []byte
	seq, sent int // offsets of the digits
	channel   int // offset of the channel's digits; 0 when it has none
	channels  int // how many take turns
	event     int // offset of the event id's digits; 0 when it has none
	text      int // offset of the filler
	textLen   int
	corpus    []byte
	random    *rand.Rand
}

// newMessage makes the body as the target wants it: a payload of exactly 1 KiB, or of
// the size it names, alone (for the floor) or in the API's envelope, there perhaps
// with one of some channels in turn, a tag, and an event id. seed varies the filler
// over publishers.
func newMessage(to target, corpus []byte, seed uint64) *message {
	const head = `{"seq":%d,"sent":"%019d","customer":"cus_8fJ2kQ","currency":"EUR","amount":129900,"note":"`
	payload := fmt.Appendf(nil, head, seqBase, 0)
	text := len(payload)
	textLen := max(0, or(to.Payload, payloadSize)-text-len(`"}`))
	payload = append(payload, corpus[:textLen]...)
	payload = append(payload, `"}`...)

	body := payload
	channel, event := 0, 0
	if to.Envelope {
		body = fmt.Appendf(nil, `{"eventType":%q,`, eventType)
		if to.Channels > 0 {
			body = fmt.Appendf(body, `"channels":[%q],`, channelName(0))
			channel = len(body) - channelDigits - len(`"],`)
		}
		if to.Tag != "" {
			body = fmt.Appendf(body, `"tags":[%q],`, to.Tag)
		}
		if to.Repeat {
			body = fmt.Appendf(body, `"eventId":"load-%d",`, seqBase)
			event = len(body) - seqDigits - len(`",`)
		}
		body = fmt.Appendf(body, `"payload":%s}`, payload)
	}
	offset := bytes.Index(body, payload)
	return &message{
		channel: channel, channels: to.Channels, event: event,
		body:    body,
		seq:     bytes.Index(body, []byte(seqKey)) + len(seqKey),
		sent:    bytes.Index(body, []byte(sentKey)) + len(sentKey),
		text:    offset + text,
		textLen: textLen,
		corpus:  corpus,
		random:  rand.New(rand.NewPCG(seed, seed)),
	}
}

// set numbers the message and stamps it. Each gets other words, since equal ones
// would compress away in the store and flatter it.
func (m *message) set(seq uint64, sentNs int64) {
	putDigits(m.body[m.seq:m.seq+seqDigits], seqBase+seq)
	putDigits(m.body[m.sent:m.sent+19], uint64(sentNs))
	if m.channel > 0 {
		putDigits(m.body[m.channel:m.channel+channelDigits], seq%uint64(m.channels))
	}
	if m.event > 0 {
		putDigits(m.body[m.event:m.event+seqDigits], seqBase+seq)
	}
	from := m.random.IntN(len(m.corpus) - m.textLen)
	copy(m.body[m.text:m.text+m.textLen], m.corpus[from:])
}

// channelDigits keeps the length of a message whatever its channel.
const channelDigits = 4

// channelName is the n-th of the channels that take turns.
func channelName(n int) string { return fmt.Sprintf("n%0*d", channelDigits, n) }

const (
	seqKey  = `"seq":`
	sentKey = `"sent":"`
)

// parseMessage finds the number and the send time in a delivered body. It allows
// for space after the colon, as a system may write the payload anew.
func parseMessage(body []byte) (seq uint64, sentNs int64, err error) {
	n, ok := numberAfter(body, seqKey)
	if !ok || n < seqBase {
		return 0, 0, fmt.Errorf("delivered body has no sequence number")
	}
	sent, ok := numberAfter(body, sentKey[:len(sentKey)-1])
	if !ok {
		return 0, 0, fmt.Errorf("delivered body has no send time")
	}
	return uint64(n - seqBase), sent, nil
}

// numberAfter reads the decimal number behind a key, quoted or not.
func numberAfter(body []byte, key string) (int64, bool) {
	i := bytes.Index(body, []byte(key))
	if i < 0 {
		return 0, false
	}
	rest := bytes.TrimLeft(body[i+len(key):], ` "`)
	end := 0
	for end < len(rest) && end < 19 && rest[end] >= '0' && rest[end] <= '9' {
		end++
	}
	n, err := strconv.ParseInt(string(rest[:end]), 10, 64)
	return n, err == nil
}

// putDigits fills dst with n, zero-padded on the left; what does not fit is lost.
func putDigits(dst []byte, n uint64) {
	for i := len(dst) - 1; i >= 0; i-- {
		dst[i] = byte('0' + n%10)
		n /= 10
	}
}

// newCorpus is 64 KiB of made-up words: text compresses about as JSON from real
// programs does, where random letters or one repeated letter would not. It is the
// same at every run.
func newCorpus() []byte {
	const syllables = "ka lo mi ter van su pre ix on da eur ble sta qui nor"
	parts := bytes.Fields([]byte(syllables))
	random := rand.New(rand.NewPCG(1, 2))
	corpus := make([]byte, 0, 64<<10)
	for len(corpus) < 64<<10-32 {
		for range 1 + random.IntN(4) {
			corpus = append(corpus, parts[random.IntN(len(parts))]...)
		}
		corpus = append(corpus, ' ')
	}
	return corpus
}
