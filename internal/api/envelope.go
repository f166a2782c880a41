package api

import (
	"bytes"
	"math"
	"mime"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/postern-dev/postern"
	"github.com/tidwall/gjson"
)

// Bounds of a message's labels.
const (
	maxMessageChannels = 5
	maxTags            = 10
	maxTag             = 256 // bytes
	maxContentType     = 256 // bytes
	minRetentionDays   = 5
	maxRetentionDays   = 90
)

// maxDepth bounds how deep JSON may be nested: the validator recurses, and a
// stack that is used up ends the process.
const maxDepth = 10_000

const jsonContentType = "application/json"

// envelope is the body of a message create.
type envelope struct {
	postern.Publish
	// wrapped: the payload is no JSON object, and reads wrapped in one.
	wrapped bool
	// application is the one that the message brings along; nil for none. It is
	// a slice of the body.
	application []byte
	// retained: the body says how long the payload is to be kept.
	retained bool
}

// parseMessage reads the body of a message create. The payload of what it
// returns is a slice of body, which is the message's from then on and must not
// change any more; everything else is copied, so that a message whose payload
// is let go does not keep the body. Its errors are of kind Invalid.
func parseMessage(body []byte) (envelope, error) {
	p := envelope{Publish: postern.Publish{ContentType: jsonContentType}}
	var f faults
	if !validJSON(body) {
		return p, syntaxError()
	}
	// The parser takes a string. It keeps none of it, and body does not change
	// while it works.
	root := gjson.Parse(unsafe.String(unsafe.SliceData(body), len(body))) //nolint:gosec // see above
	if !root.IsObject() {
		return p, postern.InvalidField("must be a JSON object", "body")
	}
	hasPayload := false
	root.ForEach(func(key, value gjson.Result) bool {
		switch key.Str {
		case "eventType":
			p.EventType = textOf(&f, "eventType", value, wrongName)
		case "eventId":
			p.EventID = textOf(&f, "eventId", value, wrongEventID)
		case "payload":
			hasPayload = true
			if end := value.Index + len(value.Raw); !p.wrapped {
				p.Payload = body[value.Index:end:end]
			}
			if !value.IsObject() {
				f.add("must be a JSON object", "payload")
			}
		case "channels":
			p.Channels = textsOf(&f, "channels", value, maxMessageChannels, wrongName)
		case "tags":
			p.Tags = textsOf(&f, "tags", value, maxTags, wrongTag)
		case "transformationsParams":
			rawPayload(&f, value, &p)
		case "application":
			if value.Type != gjson.Null {
				p.application = body[value.Index : value.Index+len(value.Raw)]
			}
		case "payloadRetentionPeriod":
			retention(&f, &p, key.Str, value, minRetentionDays, maxRetentionDays)
		case "payloadRetentionHours":
			retention(&f, &p, key.Str, value, 1, maxRetentionDays*24)
		case "deliverAt":
			if value.Type != gjson.Null {
				f.add("delivering at a time to come is not supported", "deliverAt")
			}
		}
		return true
	})
	if p.EventType == "" && !f.has("eventType") {
		f.add("is required", "eventType")
	}
	if !hasPayload {
		f.add("is required", "payload")
	}
	return p, f.err()
}

// rawPayload is how SDKs send what is no JSON object: the text to deliver, and
// its content type, beside an empty payload.
func rawPayload(f *faults, params gjson.Result, p *envelope) {
	text := params.Get("rawPayload")
	if !text.Exists() || text.Type == gjson.Null {
		return
	}
	if text.Type != gjson.String {
		f.add("must be a string", "transformationsParams", "rawPayload")
		return
	}
	p.Payload, p.wrapped = []byte(text.Str), true
	params.Get("headers").ForEach(func(name, value gjson.Result) bool {
		if !strings.EqualFold(name.Str, "content-type") || value.Type != gjson.String {
			return true
		}
		if _, _, err := mime.ParseMediaType(value.Str); err != nil || len(value.Str) > maxContentType {
			f.add("is not a content type", "transformationsParams", "headers", "content-type")
		}
		p.ContentType = strings.Clone(value.Str)
		return true
	})
}

// retention checks how long Svix would keep a payload. Here all are kept for as
// long as the server keeps messages; what is in bounds is taken, so that what
// was written for Svix works.
func retention(f *faults, p *envelope, name string, value gjson.Result, least, most int) {
	switch n := value.Float(); {
	case value.Type == gjson.Null:
		return
	case value.Type != gjson.Number || n != math.Trunc(n):
		*f = append(*f, postern.FieldError{Loc: []string{"body", name}, Msg: "must be a whole number", Type: "type_error"})
	case n < float64(least) || n > float64(most):
		f.add("must be "+strconv.Itoa(least)+" to "+strconv.Itoa(most), name)
	case p.retained:
		f.add("the retention is given in days or in hours, not both", name)
	}
	p.retained = true
}

// textOf is a string of the envelope; "" for null, which stands for absent.
func textOf(f *faults, name string, value gjson.Result, wrong func(string) string) string {
	if value.Type == gjson.Null {
		return ""
	}
	if value.Type != gjson.String {
		*f = append(*f, postern.FieldError{Loc: []string{"body", name}, Msg: "must be a string", Type: "type_error"})
		return ""
	}
	if msg := wrong(value.Str); msg != "" {
		f.add(msg, name)
		return ""
	}
	return strings.Clone(value.Str)
}

// textsOf is a list of strings of the envelope; nil for null.
func textsOf(f *faults, name string, value gjson.Result, limit int, wrong func(string) string) []string {
	if value.Type == gjson.Null {
		return nil
	}
	if !value.IsArray() {
		*f = append(*f, postern.FieldError{Loc: []string{"body", name}, Msg: "must be a list of strings", Type: "type_error"})
		return nil
	}
	var texts []string
	value.ForEach(func(_, entry gjson.Result) bool {
		text := textOf(f, name, entry, wrong)
		if text == "" && !f.has(name) {
			f.add("may not hold null", name)
		}
		texts = append(texts, text)
		return len(texts) <= limit && !f.has(name)
	})
	if !f.has(name) && (len(texts) == 0 || len(texts) > limit) {
		f.add("must have 1 to "+strconv.Itoa(limit)+" entries, or be null", name)
	}
	return texts
}

// has reports whether something is wrong with a field of the body.
func (f *faults) has(name string) bool {
	for _, fault := range *f {
		if len(fault.Loc) > 1 && fault.Loc[1] == name {
			return true
		}
	}
	return false
}

// wrongEventID keeps event ids apart from ids, in whose place they can stand,
// and from those of refusals, which are the event ids of what is released.
func wrongEventID(id string) string {
	for _, prefix := range [...]string{postern.MessageID{}.Prefix(), postern.RefusalID{}.Prefix()} {
		if strings.HasPrefix(id, prefix) {
			return "may not begin with " + prefix
		}
	}
	return wrongName(id)
}

// wrongTag allows any text: tags only help to find a message.
func wrongTag(tag string) string {
	if tag == "" || len(tag) > maxTag {
		return "must have 1 to 256 bytes"
	}
	return ""
}

// validJSON reports whether text is JSON as RFC 8259 has it, UTF-8 included.
func validJSON(text []byte) bool {
	return utf8.Valid(text) && depthBounded(text) && gjson.ValidBytes(text)
}

// depthBounded looks at the nesting only where there are brackets enough for
// it, which is hardly ever: counting them is next to nothing.
func depthBounded(text []byte) bool {
	if len(text) <= maxDepth || bytes.Count(text, []byte{'['})+bytes.Count(text, []byte{'{'}) <= maxDepth {
		return true
	}
	depth, inString := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '[' || c == '{':
			if depth++; depth > maxDepth {
				return false
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	return true
}
