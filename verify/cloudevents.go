package verify

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Bounds of a CloudEvent, besides that of its request.
const (
	// maxAttributes and maxAttributeName bound what one event says about itself;
	// the specification wants names of at most 20 letters and digits.
	maxAttributes    = 128
	maxAttributeName = 64
	// maxAttribute bounds one attribute's value, in bytes.
	maxAttribute = 4096
	// maxBatch bounds the events of one request, each of which is a message.
	maxBatch = 5000
)

// The media types of events that bring their attributes in the body. What else
// begins with cloudEventsType is a format that nobody here reads.
const (
	cloudEventsType      = "application/cloudevents"
	cloudEventsJSON      = cloudEventsType + "+json"
	cloudEventsBatchJSON = cloudEventsType + "-batch+json"
)

// cloudEvent is what Postern reads of one. Its data is never decoded.
type cloudEvent struct {
	id, source, eventType string
	// payload is a slice of the request's body, and contentType its type; nil
	// and "" where they are the request's own.
	payload     []byte
	contentType string
}

// cloudEvents reads the events of a request after the HTTP binding of CloudEvents
// 1.0, in binary, structured or batched mode, which the content type chooses. One
// event that is wrong refuses them all: a sender cannot be told of parts. An
// empty batch is no event and no error.
func cloudEvents(in *input) ([]cloudEvent, *Error) {
	contentType, _, err := in.only("Content-Type")
	if err != nil {
		return nil, err
	}
	mediaType, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	switch mediaType = strings.TrimSpace(mediaType); {
	case !strings.HasPrefix(mediaType, cloudEventsType):
		e, err := binaryCloudEvent(in.req.Header, contentType)
		return []cloudEvent{e}, err
	case mediaType != cloudEventsJSON && mediaType != cloudEventsBatchJSON:
		return nil, notCloudEvent("the format %.64q is not supported; %s and %s are", mediaType, cloudEventsJSON, cloudEventsBatchJSON)
	case !utf8.Valid(in.req.Body):
		return nil, notCloudEvent("the body is not UTF-8")
	case mediaType == cloudEventsBatchJSON:
		return batchedCloudEvents(in.req.Body)
	}
	e, err := structuredCloudEvent(in.req.Body)
	return []cloudEvent{e}, err
}

// binaryCloudEvent reads an event whose attributes are headers and whose data is
// the body. Its data's type is the content type, whatever that is.
func binaryCloudEvent(header http.Header, contentType string) (cloudEvent, *Error) {
	a := attributes{}
	for _, field := range slices.Sorted(maps.Keys(header)) { // so that the same request has the same fault each time
		name, ok := strings.CutPrefix(strings.ToLower(field), "ce-")
		if !ok {
			continue
		}
		values := header[field]
		if len(values) != 1 {
			return cloudEvent{}, &Error{ReasonDuplicateHeader, fmt.Sprintf("ce-%.64s is there %d times", name, len(values))}
		}
		if name == "datacontenttype" {
			return cloudEvent{}, notCloudEvent("ce-datacontenttype is there: in binary mode that is Content-Type")
		}
		value, err := decodeAttribute(values[0])
		if err == nil {
			err = a.add(name, value)
		}
		if err != nil {
			return cloudEvent{}, err
		}
	}
	if len(a) == 0 {
		return cloudEvent{}, notCloudEvent("there are no ce- headers, and the content type is not %s", cloudEventsJSON)
	}
	if contentType != "" {
		a["datacontenttype"] = contentType
	}
	return a.event()
}

// structuredCloudEvent reads an event that is a JSON object.
func structuredCloudEvent(data []byte) (cloudEvent, *Error) {
	// Member by member, because decoding into a map would drop what is there twice.
	dec := json.NewDecoder(bytes.NewReader(data))
	if token, err := dec.Token(); err != nil || token != json.Delim('{') {
		return cloudEvent{}, notCloudEvent("it is not a JSON object")
	}
	a := attributes{}
	var content, binary json.RawMessage // of data and data_base64, as written; nil if absent
	for dec.More() {
		name, err := dec.Token()
		var value json.RawMessage
		if err == nil {
			err = dec.Decode(&value)
		}
		if err != nil {
			return cloudEvent{}, notCloudEvent("it is not JSON")
		}
		switch {
		case name == "data" && content == nil:
			content = value
		case name == "data_base64" && binary == nil:
			binary = value
		default:
			if err := a.addJSON(name.(string), value); err != nil {
				return cloudEvent{}, err
			}
		}
	}
	if _, err := dec.Token(); err != nil {
		return cloudEvent{}, notCloudEvent("it is not JSON")
	}
	if _, err := dec.Token(); err != io.EOF {
		return cloudEvent{}, notCloudEvent("something follows the JSON object")
	}
	if err := checkData(content, binary, a["datacontenttype"]); err != nil {
		return cloudEvent{}, err
	}
	return a.event()
}

// batchedCloudEvents reads a JSON array of events. Each keeps its own bytes.
func batchedCloudEvents(body []byte) ([]cloudEvent, *Error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	if token, err := dec.Token(); err != nil || token != json.Delim('[') {
		return nil, notCloudEvent("the body is not a JSON array, which a batch is")
	}
	var events []cloudEvent
	for dec.More() {
		if len(events) == maxBatch {
			return nil, notCloudEvent("the batch has more than %d events", maxBatch)
		}
		var item json.RawMessage
		if err := dec.Decode(&item); err != nil {
			return nil, notCloudEvent("the body is not JSON")
		}
		end := int(dec.InputOffset()) // just behind the item, whose white space is not in it
		e, err := structuredCloudEvent(item)
		if err != nil {
			err.Detail = fmt.Sprintf("event %d of the batch: %s", len(events)+1, err.Detail)
			return nil, err
		}
		e.payload, e.contentType = body[end-len(item):end:end], cloudEventsJSON
		events = append(events, e)
	}
	if _, err := dec.Token(); err != nil {
		return nil, notCloudEvent("the body is not JSON")
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, notCloudEvent("something follows the JSON array")
	}
	return events, nil
}

// cloudEvent makes an event of a CloudEvent. Its time is the sender's word and not
// that of a signature: Timestamp stays zero.
func (v *Verifier) cloudEvent(e cloudEvent) Event {
	name := e.eventType
	if len(name) > maxValue {
		name = ""
	}
	return Event{
		Type: EventType(v.prefix, v.def.ID, name), ProviderEventType: name, DeliveryID: e.deliveryID(),
		Payload: e.payload, ContentType: e.contentType,
	}
}

// deliveryID is what an event is unique by: source and id together. Where the
// two are too long for a delivery id their hash stands for them, since sources
// are addresses of any length.
func (e cloudEvent) deliveryID() string {
	if len(e.source)+1+len(e.id) <= maxValue {
		return e.source + " " + e.id
	}
	sum := sha256.Sum256([]byte(e.source + " " + e.id))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// attributes of one event by name, none of them empty.
type attributes map[string]string

// add takes an attribute in. An empty one counts as absent.
func (a attributes) add(name, value string) *Error {
	_, twice := a[name]
	switch {
	case !isAttributeName(name):
		return notCloudEvent("%.64q is no attribute's name: those are lower-case letters and digits, at most %d", name, maxAttributeName)
	case name == "data":
		return notCloudEvent("data is there more than once, or as an attribute")
	case twice:
		return notCloudEvent("%s is there more than once", name)
	case len(a) == maxAttributes:
		return notCloudEvent("there are more than %d attributes", maxAttributes)
	case len(value) > maxAttribute:
		return notCloudEvent("%s is longer than %d bytes", name, maxAttribute)
	case !utf8.ValidString(value):
		return notCloudEvent("%s is not UTF-8", name)
	case strings.ContainsFunc(value, unicode.IsControl):
		return notCloudEvent("%s contains a control character", name)
	}
	if value = strings.TrimSpace(value); value != "" {
		a[name] = value
	}
	return nil
}

// addJSON takes in an attribute as the JSON format writes it: a string, and for
// extensions also a boolean or an integer. null counts as absent. value is valid
// JSON without white space around it.
func (a attributes) addJSON(name string, value json.RawMessage) *Error {
	var text string
	switch value[0] {
	case '"':
		if err := json.Unmarshal(value, &text); err != nil {
			return notCloudEvent("%.64q is not a string", name)
		}
	case 'n': // null
	case '{', '[':
		return notCloudEvent("%.64q is an object or an array, which attributes are not", name)
	default:
		if isCoreAttribute(name) {
			return notCloudEvent("%s is not a string", name)
		}
		text = string(value)
		if _, err := strconv.ParseInt(text, 10, 32); err != nil && text != "true" && text != "false" {
			return notCloudEvent("%.64q is a number, but not an integer of 32 bits", name)
		}
	}
	return a.add(name, text)
}

// event checks the attributes and makes an event of them. What is optional has
// to be right where it is there: endpoints rely on it.
func (a attributes) event() (cloudEvent, *Error) {
	for _, name := range []string{"specversion", "id", "source", "type"} {
		if a[name] == "" {
			return cloudEvent{}, notCloudEvent("the required attribute %s is missing or empty", name)
		}
	}
	if a["specversion"] != "1.0" {
		return cloudEvent{}, notCloudEvent("specversion is %.16q; 1.0 is supported", a["specversion"])
	}
	// As loosely as the official library, which accepts blanks in it.
	if _, err := url.Parse(a["source"]); err != nil {
		return cloudEvent{}, notCloudEvent("source is not a URI reference")
	}
	if at := a["time"]; at != "" {
		if _, err := time.Parse(time.RFC3339Nano, at); err != nil {
			return cloudEvent{}, notCloudEvent("time is not a time in RFC 3339")
		}
	}
	if schema := a["dataschema"]; schema != "" {
		if u, err := url.Parse(schema); err != nil || !u.IsAbs() {
			return cloudEvent{}, notCloudEvent("dataschema is not an absolute URI")
		}
	}
	if contentType := a["datacontenttype"]; contentType != "" {
		if _, _, err := mime.ParseMediaType(contentType); err != nil {
			return cloudEvent{}, notCloudEvent("the data's content type is not a media type")
		}
	}
	return cloudEvent{id: a["id"], source: a["source"], eventType: a["type"]}, nil
}

// checkData checks the data of a structured event, nil for none: whoever reads
// it later has to find one value, written as its type demands.
func checkData(content, binary json.RawMessage, contentType string) *Error {
	switch {
	case content != nil && binary != nil:
		return notCloudEvent("both data and data_base64 are there")
	case content != nil && content[0] != '"' && content[0] != 'n' && !isJSONType(contentType):
		return notCloudEvent("data is not a string, and datacontenttype is not JSON")
	case binary == nil || binary[0] == 'n':
		return nil
	}
	var text string
	if err := json.Unmarshal(binary, &text); err != nil {
		return notCloudEvent("data_base64 is not a string")
	}
	if _, err := base64.StdEncoding.DecodeString(text); err != nil {
		return notCloudEvent("data_base64 is not base64")
	}
	return nil
}

// decodeAttribute undoes what the binding does to an attribute that becomes a
// header: an outer pair of quotes, then percent-encoding, once. A percent sign
// without two hex digits stands for itself, because some senders encode nothing.
func decodeAttribute(value string) (string, *Error) {
	if len(value) > 4*maxAttribute {
		return "", notCloudEvent("a ce- header is longer than %d bytes", 4*maxAttribute)
	}
	value = unquoteHeader(value)
	if !strings.Contains(value, "%") {
		return value, nil
	}
	var decoded strings.Builder
	for i := 0; i < len(value); i++ {
		if value[i] == '%' && i+2 < len(value) {
			if b, err := hex.DecodeString(value[i+1 : i+3]); err == nil {
				decoded.WriteByte(b[0])
				i += 2
				continue
			}
		}
		decoded.WriteByte(value[i])
	}
	return decoded.String(), nil
}

// unquoteHeader takes a value out of a quoted string, if it is one.
func unquoteHeader(value string) string {
	if len(value) < 2 || value[0] != '"' || value[len(value)-1] != '"' {
		return value
	}
	var plain strings.Builder
	for i := 1; i < len(value)-1; i++ {
		if value[i] == '\\' && i+1 < len(value)-1 {
			i++
		}
		plain.WriteByte(value[i])
	}
	return plain.String()
}

// isAttributeName is the rule of the specification, which keeps names equal in
// every binding; headers would fold their case.
func isAttributeName(name string) bool {
	return name != "" && len(name) <= maxAttributeName && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
}

// isCoreAttribute tells the attributes of the specification from extensions.
func isCoreAttribute(name string) bool {
	switch name {
	case "id", "source", "specversion", "type", "datacontenttype", "dataschema", "subject", "time":
		return true
	}
	return false
}

// isJSONType reports whether data of that type stands in an event as JSON, which
// it also does when no type is given. Parameters such as a charset do not count.
func isJSONType(contentType string) bool {
	mediaType, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	mediaType = strings.TrimSpace(mediaType)
	return mediaType == "" || mediaType == "application/json" || mediaType == "text/json" || strings.HasSuffix(mediaType, "+json")
}

// notCloudEvent is a refusal. Details may quote names and short values, which are
// the sender's, and never data.
func notCloudEvent(format string, args ...any) *Error {
	return &Error{ReasonEventMalformed, "no CloudEvent: " + fmt.Sprintf(format, args...)}
}
