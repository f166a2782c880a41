package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postern-dev/postern/verify"
)

// maxBatchLine bounds one line of a batch, in bytes: a body of the largest size
// that a source takes by default, in base64.
const maxBatchLine = 32 << 20

// batchRequest is one line of a batch; members that are not here are passed
// over. The vectors of verify/testdata are written so.
type batchRequest struct {
	ID       json.RawMessage `json:"id"` // comes back as it is
	Provider string          `json:"provider"`
	Variant  string          `json:"variant"`
	Method   string          `json:"method"`  // POST when empty
	URL      string          `json:"url"`     // as the provider has it configured
	Headers  [][]string      `json:"headers"` // pairs of name and value
	Body     []byte          `json:"body_base64"`
	Secrets  []string        `json:"secrets"`
	Now      *float64        `json:"now"` // Unix seconds; null is the clock's
	// Extra is what is known of the receiver besides its secrets: tolerance_s,
	// identities such as api_key, app_key and key_id, and descriptions. What
	// names a setting of the provider is one.
	Extra map[string]any `json:"extra"`
	// Config are the settings of the source.
	Config map[string]any `json:"config"`
}

// batchVerdict is one line of what is printed.
type batchVerdict struct {
	ID json.RawMessage `json:"id"`
	// Accepted: the request verifies, or it is a handshake that succeeds.
	Accepted bool `json:"accepted"`
	// Reason is why not: a word of verify.Reasons, unknown_provider,
	// invalid_config or invalid_request, then a colon and the particulars.
	Reason string `json:"reason"`
	// EventType and DeliveryID are as the provider writes them.
	EventType  string        `json:"event_type"`
	DeliveryID string        `json:"delivery_id"`
	Response   batchResponse `json:"response"`
	// handshake: the request is one, and was answered.
	handshake bool
}

// batchResponse is what a source with this configuration would answer.
type batchResponse struct {
	Status  int         `json:"status"`
	Headers [][2]string `json:"headers"`
	Body    []byte      `json:"body_base64"`
}

// batch checks requests one by one. Nothing is fetched and nothing is kept from
// one to the next.
type batch struct {
	catalogue *verify.Catalogue
	// settings are the names of all that some provider can be configured with;
	// nil until one is asked for.
	settings map[string]bool
	now      func() time.Time
}

func newBatch(catalogue *verify.Catalogue) *batch {
	return &batch{catalogue: catalogue, now: time.Now}
}

// knows reports whether some provider has a setting of the name.
func (b *batch) knows(name string) bool {
	if b.settings == nil {
		b.settings = map[string]bool{}
		for _, id := range b.catalogue.Providers() {
			def, _ := b.catalogue.Lookup(id)
			for _, s := range def.AllSettings() {
				b.settings[s.Name] = true
			}
		}
	}
	return b.settings[name]
}

// run reads requests from in and prints verdicts to out. What is wrong with a
// request is its verdict; the error is one of reading or writing, or ctx's.
func (b *batch) run(ctx context.Context, in io.Reader, out io.Writer) error {
	lines := bufio.NewReaderSize(in, 64<<10)
	verdicts := json.NewEncoder(out)
	verdicts.SetEscapeHTML(false)
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		line, err := readLine(lines, maxBatchLine)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, errLongLine):
			err = verdicts.Encode(refusedLine(nil, "invalid_request", "the line is longer than 32 MiB"))
		case err == nil && len(bytes.TrimSpace(line)) > 0:
			err = verdicts.Encode(b.line(ctx, line))
		}
		if err != nil {
			return err
		}
	}
}

// line is the verdict on one line.
func (b *batch) line(ctx context.Context, line []byte) *batchVerdict {
	var in batchRequest
	err := json.Unmarshal(line, &in) // keeps the id where another member is wrong
	if err != nil {
		return refusedLine(in.ID, "invalid_request", "the line is not a request in JSON: "+err.Error())
	}
	def, ok := b.catalogue.Lookup(in.Provider)
	if !ok {
		return refusedLine(in.ID, "unknown_provider", fmt.Sprintf("%q is not in the catalogue", in.Provider))
	}
	req, err := in.request()
	if err != nil {
		return refusedLine(in.ID, "invalid_request", err.Error())
	}
	settings, err := b.configured(def, &in)
	if err != nil {
		return refusedLine(in.ID, "invalid_config", err.Error())
	}
	// Without secrets a source can answer handshakes; all else it refuses.
	source := verify.Config{Secrets: in.Secrets, Settings: settings, Keyless: len(in.Secrets) == 0}
	v, err := verify.New(def, source)
	if err == nil {
		return b.verdict(ctx, &in, v, req)
	}
	// So it does with secrets that do not read as this provider's, as long as the
	// owner has not mended them.
	source.Secrets, source.Keyless = nil, true
	if v, keyless := verify.New(def, source); keyless == nil && !slices.Contains(in.Secrets, "") {
		if out := b.verdict(ctx, &in, v, req); out.handshake {
			return out
		}
	}
	return refusedLine(in.ID, "invalid_config", strings.TrimPrefix(err.Error(), "verify: "))
}

// verdict asks the verifier. The source is taken to have the request's method
// among its own.
func (b *batch) verdict(ctx context.Context, in *batchRequest, v *verify.Verifier, req verify.Request) *batchVerdict {
	result, err := v.Receive(ctx, req, in.at(b.now()))
	out := &batchVerdict{ID: in.ID, Accepted: err == nil, Response: responseTo(&result, err), handshake: err == nil && result.Handshake != ""}
	if refused, ok := errors.AsType[*verify.Error](err); ok {
		out.Reason = string(refused.Reason) + ": " + refused.Detail
	}
	if err == nil {
		out.EventType, out.DeliveryID = result.Event.ProviderEventType, result.Event.DeliveryID
	}
	return out
}

// configured are the settings of a source that the line describes. What another
// provider can be configured with is passed over, so that lines may be alike.
func (b *batch) configured(def verify.Definition, in *batchRequest) (map[string]string, error) {
	declared := map[string]verify.Setting{}
	for _, s := range def.AllSettings() {
		declared[s.Name] = s
	}
	settings := map[string]string{}
	for name, value := range in.Extra {
		if name == "tolerance_s" {
			name, value = "tolerance", window(value)
		}
		setting, ok := declared[name]
		if text, err := settingText(value); ok && err == nil {
			settings[name] = described(setting, text)
		}
	}
	for name, value := range in.Config {
		text, err := settingText(value)
		if err != nil {
			return nil, fmt.Errorf("config.%s: %w", name, err)
		}
		if _, ok := declared[name]; ok || !b.knows(name) {
			settings[name] = text // one that nobody has is an error of verify.New
		}
	}
	if in.Variant != "" {
		settings["variant"] = in.Variant
	}
	return settings, nil
}

// window is a tolerance_s within the bounds of a source's; what is no time says
// nothing.
func window(value any) any {
	seconds, ok := value.(float64)
	if !ok || seconds <= 0 {
		return nil
	}
	return math.Ceil(min(max(seconds, verify.MinTolerance.Seconds()), verify.MaxTolerance.Seconds()))
}

// described is the value of a setting that a description means: "HMAC-SHA256" is
// sha256. A closed set of values without it leaves the setting at its default.
func described(s verify.Setting, text string) string {
	plain := strings.NewReplacer("-", "", "_", "", " ", "", ",", "")
	for _, value := range s.Values {
		if strings.Contains(strings.ToLower(plain.Replace(text)), strings.ToLower(plain.Replace(value))) {
			return value
		}
	}
	if s.Values != nil {
		return ""
	}
	return text
}

// settingText is a value as a source's configuration has it.
func settingText(value any) (string, error) {
	switch value := value.(type) {
	case nil:
		return "", nil
	case string:
		return value, nil
	case bool:
		return strconv.FormatBool(value), nil
	case float64:
		return strconv.FormatFloat(value, 'f', -1, 64), nil
	case []any:
		parts := make([]string, len(value))
		for i, part := range value {
			var err error
			if parts[i], err = settingText(part); err != nil {
				return "", err
			}
		}
		return strings.Join(parts, ","), nil
	}
	return "", errors.New("must be a text, a number or a list of them")
}

// request is the line's as a server sees it.
func (in *batchRequest) request() (verify.Request, error) {
	req := verify.Request{Method: in.Method, URL: in.URL, Header: http.Header{}, Body: in.Body}
	if req.Method == "" {
		req.Method = http.MethodPost
	}
	for _, pair := range in.Headers {
		if len(pair) != 2 {
			return req, errors.New("headers must be pairs of name and value")
		}
		req.Header.Add(pair[0], pair[1])
	}
	return req, nil
}

// at is the receiver's time.
func (in *batchRequest) at(now time.Time) time.Time {
	if in.Now == nil {
		return now
	}
	whole, part := math.Modf(*in.Now)
	return time.Unix(int64(whole), int64(part*1e9))
}

func refusedLine(id json.RawMessage, reason, detail string) *batchVerdict {
	return &batchVerdict{ID: id, Reason: reason + ": " + detail, Response: responseTo(&verify.Result{}, errRefused)}
}

var errLongLine = errors.New("line too long")

// readLine reads a line without its end. One over limit is read past, kept in no
// part, and errLongLine. The last line may lack its end; then comes io.EOF.
func readLine(r *bufio.Reader, limit int) ([]byte, error) {
	var line []byte
	long := false
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > limit {
			line, long = nil, true
		}
		if !long {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && (!errors.Is(err, io.EOF) || len(line) == 0 && !long):
			return nil, err
		case long:
			return nil, errLongLine
		}
		return line, nil
	}
}
