package engine

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/deliver"
	"github.com/postern-dev/postern/internal/dispatch"
	"github.com/postern-dev/postern/sign"
)

const (
	// mostInFlight bounds attempts under way on any machine: each takes a
	// connection and some 20 KB of memory.
	mostInFlight = 4096
	// mostIdle bounds the connections that are kept for later attempts.
	mostIdle = 2048
)

// sender makes lines for endpoints: what turns a delivery into an attempt.
type sender struct {
	// handler makes the lines of handlers.
	handler func(v *postern.EndpointView) (dispatch.Line, error)
	client  *deliver.Client
	secrets Secrets
	timeout time.Duration
	now     func() time.Time
	log     *slog.Logger
	faults  *faults
	// forwards reports whether a source passes its requests' headers on, and
	// which: none named is all.
	forwards func(app postern.ApplicationNumber, id postern.SourceID) (names []string, ok bool)
}

var _ dispatch.Sender = (*sender)(nil)

// Prepare implements dispatch.Sender.
func (s *sender) Prepare(v *postern.EndpointView) (dispatch.Line, error) {
	switch v.Kind {
	case postern.HandlerEndpoint:
		return s.handler(v)
	case postern.PullEndpoint:
		return nil, errors.New("deliveries of pull endpoints are fetched, not sent")
	}
	target, err := deliver.ParseTarget(v.URL)
	if err != nil {
		return nil, err
	}
	line := &httpLine{sender: s, view: v, target: target}
	for _, h := range v.Headers {
		header, err := deliver.NewHeader(h.Name, h.Value)
		if err != nil {
			return nil, err
		}
		line.headers = append(line.headers, header)
	}
	signer, err := line.sign(s.now())
	if err != nil {
		return nil, err
	}
	line.signer.Store(signer)
	return line, nil
}

// httpLine posts deliveries to one URL.
type httpLine struct {
	sender  *sender
	view    *postern.EndpointView
	target  *deliver.Target
	headers []deliver.Header
	signer  atomic.Pointer[liveSigner]
}

// liveSigner signs with the secrets that live until a moment; zero for ever.
type liveSigner struct {
	*sign.Signer
	until time.Time
}

var _ dispatch.Line = (*httpLine)(nil)

// sign makes the signer of the secrets that live at now.
func (l *httpLine) sign(now time.Time) (*liveSigner, error) {
	var keys []sign.Key
	live := &liveSigner{}
	for _, secret := range l.view.Secrets {
		if !secret.Live(now) {
			continue
		}
		plain, err := l.sender.secrets.Open(secret.Key)
		if err != nil {
			return nil, err
		}
		key, err := sign.ParseKey(string(plain))
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
		if !secret.ExpiresAt.IsZero() && (live.until.IsZero() || secret.ExpiresAt.Before(live.until)) {
			live.until = secret.ExpiresAt
		}
	}
	var err error
	live.Signer, err = sign.NewSigner(keys...)
	return live, err
}

// Send implements dispatch.Line.
func (l *httpLine) Send(ctx context.Context, m *postern.Message, c *postern.Content, a *postern.Attempt) bool {
	now := l.sender.now()
	signer := l.signer.Load()
	if !signer.until.IsZero() && !now.Before(signer.until) {
		renewed, err := l.sign(now)
		if err != nil {
			l.sender.log.Error("an endpoint's secrets cannot be used", "endpoint", l.view.ID.String(), "error", err)
			return false
		}
		signer = renewed
		l.signer.Store(signer)
	}
	var id [40]byte
	req := deliver.Request{
		Target: l.target, Headers: l.headers, ID: string(m.ID.AppendTo(id[:0])), Timestamp: now.Unix(),
		Signer: signer.Signer, ContentType: m.ContentType, Body: c.Payload, SvixNames: l.view.SvixNames,
		Deadline: time.Now().Add(l.sender.timeout),
	}
	if c.Request != nil {
		if names, ok := l.sender.forwards(m.Application, m.Source); ok {
			req.Extra = forwarded(c.Request, names)
		}
	}
	if !a.Replay.IsZero() {
		req.Extra = append(req.Extra, replayHeader(a.Replay)...)
	}
	var res deliver.Result
	l.sender.client.Post(ctx, &req, &res)
	return l.record(&res, a, now)
}

// record fills in what came of an exchange. It reports false for what was our
// own doing or fault.
func (l *httpLine) record(res *deliver.Result, a *postern.Attempt, now time.Time) bool {
	a.Timings = postern.Timings(res.Timings)
	a.Redialed = res.Redialed
	switch res.Cause {
	case deliver.None:
		a.Code = res.Status
		a.Succeeded = res.Status >= 200 && res.Status < 300
		a.Response = res.Body
		a.RetryAfter = retryAfter(res.RetryAfter, now)
	case deliver.Local:
		l.sender.faults.tell(res.Err)
		return false
	case deliver.Canceled:
		return false
	default:
		a.Failure = res.Cause.String()
	}
	return true
}

// retryAfter reads the header's two forms, seconds and a date; 0 for anything
// else. RFC 9110, section 10.2.3.
func retryAfter(value string, now time.Time) time.Duration {
	if value == "" {
		return 0
	}
	if seconds, err := strconv.Atoi(value); err == nil || errors.Is(err, strconv.ErrRange) {
		const most = int(postern.MaxRetryAfter / time.Second)
		return time.Duration(min(max(seconds, 0), most)) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// forwarded are an inbound request's own headers, for a delivery to carry on:
// those of names, all without any.
// What frames a message or belongs to the connection is left out, and so is
// what the client writes itself.
func forwarded(r *postern.InboundRequest, names []string) []deliver.Header {
	headers := make([]deliver.Header, 0, len(r.Headers)+3)
	add := func(name, value string) {
		if h, err := deliver.NewHeader(name, value); err == nil {
			headers = append(headers, h)
		}
	}
	chosen := func(name string) bool {
		return len(names) == 0 || slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) })
	}
	for _, h := range r.Headers {
		if chosen(h.Name) && !slices.Contains(hopByHop(), strings.ToLower(h.Name)) {
			add(h.Name, h.Value)
		}
	}
	add("Postern-Method", r.Method)
	add("Postern-Path", r.Path)
	add("Postern-Query", r.Query)
	return headers
}

func hopByHop() []string {
	return []string{"proxy-authenticate", "proxy-authorization", "accept-encoding", "forwarded", "via", "cookie", "postern-replay"}
}

// replayHeader marks a delivery that a replay started, and its retries: the
// receiver has most likely seen the message before.
func replayHeader(id postern.ReplayID) []deliver.Header {
	h, err := deliver.NewHeader("Postern-Replay", id.String())
	if err != nil {
		return nil // an id is letters, digits and an underscore
	}
	return []deliver.Header{h}
}
