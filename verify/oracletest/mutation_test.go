package oracletest

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// mutation is one way of changing a signed request.
type mutation struct {
	name  string
	times int // how often, with other random choices; 0 is once
	apply func(random *rand.Rand, v *vendor, r *request)
}

// everybodys are the mutations that every vendor's requests are put through.
func everybodys(v *vendor) []mutation {
	all := slices.Concat(bodies(), signatures(), secretsAndHeaders())
	if v.timed() {
		all = append(all, times()...)
	}
	return all
}

// bodies change the body, before or after it is signed.
func bodies() []mutation {
	after := func(name string, times int, change func(random *rand.Rand, body []byte) []byte) mutation {
		return mutation{"body " + name, times, func(random *rand.Rand, _ *vendor, r *request) { r.body = change(random, r.body) }}
	}
	before := func(name string, body func(random *rand.Rand, old []byte) []byte) mutation {
		return mutation{"signed body " + name, 0, func(random *rand.Rand, v *vendor, r *request) {
			r.body = body(random, r.body)
			v.sign(r)
		}}
	}
	return []mutation{
		{"unchanged", 2, func(*rand.Rand, *vendor, *request) {}},
		after("with a byte changed", 6, func(random *rand.Rand, body []byte) []byte {
			body = bytes.Clone(body)
			body[random.IntN(len(body))] ^= byte(1 + random.IntN(255))
			return body
		}),
		after("with a byte more", 3, func(random *rand.Rand, body []byte) []byte {
			return slices.Insert(bytes.Clone(body), random.IntN(len(body)+1), byte('a'+random.IntN(26)))
		}),
		after("with a byte less", 3, func(random *rand.Rand, body []byte) []byte {
			at := random.IntN(len(body))
			return slices.Delete(bytes.Clone(body), at, at+1)
		}),
		after("cut off", 0, func(random *rand.Rand, body []byte) []byte { return body[:random.IntN(len(body))] }),
		after("with a line break behind it", 0, func(_ *rand.Rand, body []byte) []byte { return append(bytes.Clone(body), '\n') }),
		after("with a mark before it", 0, func(_ *rand.Rand, body []byte) []byte { return append([]byte("\ufeff"), body...) }),
		after("gone", 0, func(*rand.Rand, []byte) []byte { return nil }),
		after("written anew", 0, func(_ *rand.Rand, body []byte) []byte { return reindent(body) }),
		before("indented", func(_ *rand.Rand, body []byte) []byte { return reindent(body) }),
		before("with a line break", func(_ *rand.Rand, body []byte) []byte { return append(bytes.Clone(body), "\r\n"...) }),
		before("of other letters", func(_ *rand.Rand, body []byte) []byte {
			return bytes.Replace(body, []byte(`"`), []byte(`"Zoë \u00fc 🎣 </script> `), 2)
		}),
		before("of any bytes", func(random *rand.Rand, _ []byte) []byte {
			body := make([]byte, 300)
			for i := range body {
				body[i] = byte(random.Uint32())
			}
			return body
		}),
		before("of 100 kB", func(_ *rand.Rand, body []byte) []byte { return slices.Concat(body, bytes.Repeat([]byte(" "), 100<<10)) }),
		before("of nothing", func(*rand.Rand, []byte) []byte { return nil }),
	}
}

// signatures change the signature's text.
func signatures() []mutation {
	change := func(name string, times int, change func(random *rand.Rand, v *vendor, r *request) string) mutation {
		return mutation{"signature " + name, times, func(random *rand.Rand, v *vendor, r *request) { v.place(r, change(random, v, r)) }}
	}
	return []mutation{
		change("with a character changed", 6, func(random *rand.Rand, v *vendor, r *request) string {
			text := []byte(v.encode(v.raw(r)))
			// Not among the last, whose bits may stand for nothing.
			at := random.IntN(len(text) - 4)
			for old := text[at]; text[at] == old; {
				text[at] = "0123456789abcdef"[random.IntN(16)]
			}
			return string(text)
		}),
		change("with bits that stand for nothing", 0, func(_ *rand.Rand, v *vendor, r *request) string {
			text := v.encode(v.raw(r))
			before, ok := strings.CutSuffix(text, "=")
			if !ok {
				return text + "0"
			}
			last := before[len(before)-1]
			const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
			next := alphabet[(strings.IndexByte(alphabet, last)|1)%64]
			if next == last {
				next = alphabet[strings.IndexByte(alphabet, last)^2]
			}
			return before[:len(before)-1] + string(next) + "="
		}),
		change("cut off", 2, func(random *rand.Rand, v *vendor, r *request) string {
			text := v.encode(v.raw(r))
			return text[:random.IntN(len(text)-1)+1]
		}),
		change("with more behind it", 0, func(_ *rand.Rand, v *vendor, r *request) string { return v.encode(v.raw(r)) + "00" }),
		change("with bytes behind it", 0, func(_ *rand.Rand, v *vendor, r *request) string { return v.encode(append(v.raw(r), 0)) }),
		change("of fewer bytes", 0, func(_ *rand.Rand, v *vendor, r *request) string { return v.encode(v.raw(r)[:16]) }),
		change("in capitals", 0, func(_ *rand.Rand, v *vendor, r *request) string { return strings.ToUpper(v.encode(v.raw(r))) }),
		change("in another encoding", 0, func(_ *rand.Rand, v *vendor, r *request) string { return v.recode(v.raw(r)) }),
		change("with a line break in it", 0, func(_ *rand.Rand, v *vendor, r *request) string {
			text := v.encode(v.raw(r))
			return text[:8] + "\n" + text[8:]
		}),
		change("empty", 0, func(*rand.Rand, *vendor, *request) string { return "" }),
		change("of zeros", 0, func(_ *rand.Rand, v *vendor, r *request) string { return v.encode(make([]byte, len(v.raw(r)))) }),
		change("that is a word", 0, func(*rand.Rand, *vendor, *request) string { return "undefined" }),
	}
}

// secretsAndHeaders change what stands around body and signature.
func secretsAndHeaders() []mutation {
	return []mutation{
		{"another secret", 2, func(_ *rand.Rand, v *vendor, r *request) { r.secret = v.other }},
		{"signed with another secret", 0, func(_ *rand.Rand, v *vendor, r *request) {
			r.secret = v.other
			v.sign(r)
			r.secret = v.secret
		}},
		{"no secret", 0, func(_ *rand.Rand, v *vendor, r *request) {
			r.secret = ""
			v.sign(r)
		}},
		{"a header that means nothing", 0, func(_ *rand.Rand, _ *vendor, r *request) { r.header.Set("X-Request-Id", "7") }},
		{"other agent and proxies", 0, func(_ *rand.Rand, _ *vendor, r *request) {
			r.header.Set("User-Agent", "curl/8")
			r.header.Set("X-Forwarded-For", "203.0.113.7")
		}},
		{"signature header gone", 0, func(_ *rand.Rand, v *vendor, r *request) { r.header.Del(v.headers[0]) }},
		{"signature header empty", 0, func(_ *rand.Rand, v *vendor, r *request) { r.header.Set(v.headers[0], "") }},
		{"signature header twice", 0, func(_ *rand.Rand, v *vendor, r *request) {
			r.header.Add(v.headers[0], r.header.Get(v.headers[0]))
		}},
		{"a wrong signature header first", 0, func(_ *rand.Rand, v *vendor, r *request) {
			r.header[v.headers[0]] = []string{wrong(v, r), r.header.Get(v.headers[0])}
		}},
		{"a wrong signature header behind", 0, func(_ *rand.Rand, v *vendor, r *request) {
			r.header[v.headers[0]] = []string{r.header.Get(v.headers[0]), wrong(v, r)}
		}},
		{"a letter before the signature header", 0, func(_ *rand.Rand, v *vendor, r *request) {
			r.header.Set(v.headers[0], "x"+r.header.Get(v.headers[0]))
		}},
	}
}

// times change when a request was signed.
func times() []mutation {
	signed := func(name string, shift time.Duration) mutation {
		return mutation{"signed " + name, 0, func(_ *rand.Rand, v *vendor, r *request) {
			v.stamped(r, shift)
			v.sign(r)
		}}
	}
	written := func(name string, write func(stamp string) string) mutation {
		return mutation{"time " + name, 0, func(_ *rand.Rand, v *vendor, r *request) {
			r.stamp = write(r.stamp)
			v.sign(r)
		}}
	}
	return []mutation{
		signed("a minute ago", -time.Minute), signed("four minutes ago", -4*time.Minute),
		signed("ten minutes ago", -10*time.Minute), signed("a day ago", -24*time.Hour), signed("in 1970", -time.Since(time.Unix(5, 0))),
		signed("in a minute", time.Minute), signed("in ten minutes", 10*time.Minute), signed("in a year", 8760*time.Hour),
		{"time made later", 2, func(_ *rand.Rand, v *vendor, r *request) {
			old := v.encode(v.raw(r))
			v.stamped(r, time.Minute)
			v.place(r, old)
		}},
		written("as a word", func(string) string { return "now" }),
		written("with letters behind it", func(stamp string) string { return stamp + "abc" }),
		written("with a zero before it", func(stamp string) string { return "0" + stamp }),
		written("with a plus before it", func(stamp string) string { return "+" + stamp }),
		written("with a fraction", func(stamp string) string { return stamp + ".0" }),
		written("negative", func(stamp string) string { return "-" + stamp }),
		written("in milliseconds", func(stamp string) string { return stamp + "000" }),
		written("beyond all numbers", func(stamp string) string { return strings.Repeat(stamp, 3) }),
		written("empty", func(string) string { return "" }),
	}
}

// wrong is a signature header that another secret made.
func wrong(v *vendor, r *request) string {
	w := *r
	w.header, w.secret = r.header.Clone(), v.other
	v.sign(&w)
	return w.header.Get(v.headers[0])
}

// reindent writes JSON with other white space; what is no JSON gets a blank.
func reindent(body []byte) []byte {
	var out bytes.Buffer
	if json.Indent(&out, body, "", "  ") != nil {
		return append(bytes.Clone(body), ' ')
	}
	return out.Bytes()
}
