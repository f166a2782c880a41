package verify

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// ceHeaders is a binary event's, with changes: "Name: value", or "Name:" to
// take one away.
func ceHeaders(changes ...string) http.Header {
	h := http.Header{
		"Content-Type": {"text/plain; charset=us-ascii"},
		"Ce-Id":        {"1"}, "Ce-Source": {"/orders"}, "Ce-Specversion": {"1.0"}, "Ce-Type": {"order.paid"},
	}
	for _, change := range changes {
		name, value, _ := strings.Cut(change, ":")
		if value = strings.TrimPrefix(value, " "); value == "" {
			h.Del(name)
			continue
		}
		h[http.CanonicalHeaderKey(name)] = strings.Split(value, " | ")
	}
	return h
}

const ceObject = `{"specversion":"1.0","id":"1","source":"/orders","type":"order.paid"`

func TestCloudEvents(t *testing.T) {
	structured := http.Header{"Content-Type": {cloudEventsJSON}}
	batched := http.Header{"Content-Type": {"Application/CloudEvents-Batch+JSON; charset=UTF-8"}}
	const paid = "order.paid /orders 1"
	for name, c := range map[string]struct {
		header http.Header
		body   string
		want   string // type and delivery id of each event, or what is wrong
	}{
		"binary":                          {ceHeaders(), "{not JSON", paid},
		"binary without data":             {ceHeaders("Content-Type:"), "", paid},
		"binary with extensions":          {ceHeaders("ce-traceparent: 00-abc", "ce-time: 2026-11-22T10:00:00.5+01:00", "ce-subject: 7"), "", paid},
		"binary, encoded":                 {ceHeaders("ce-id: Euro%20%E2%82%AC%20%f0%9f%98%80%2525"), "", "order.paid /orders Euro € 😀%25"},
		"binary, quoted":                  {ceHeaders(`ce-id: "a \"b\" %63"`), "", `order.paid /orders a "b" c`},
		"binary, not encoded":             {ceHeaders("ce-id: 100% Zoë%"), "", "order.paid /orders 100% Zoë%"},
		"binary, a long id":               {ceHeaders("ce-id: " + strings.Repeat("7", 250)), "", "order.paid sha256:f68d40d8a680daa36013246853e71a2ffec43a1b3c31c33fb999b707c4490e42"},
		"binary, not UTF-8":               {ceHeaders("ce-id: %ff"), "", "id is not UTF-8"},
		"binary, a control character":     {ceHeaders("ce-id: a%0ab"), "", "id contains a control character"},
		"binary, an id of blanks":         {ceHeaders("ce-id: %20%20"), "", "the required attribute id is missing or empty"},
		"binary without id":               {ceHeaders("ce-id:"), "", "the required attribute id is missing or empty"},
		"binary without source":           {ceHeaders("ce-source:"), "", "the required attribute source is missing or empty"},
		"binary without type":             {ceHeaders("ce-type:"), "", "the required attribute type is missing or empty"},
		"binary without version":          {ceHeaders("ce-specversion:"), "", "the required attribute specversion is missing or empty"},
		"binary of another version":       {ceHeaders("ce-specversion: 0.3"), "", `specversion is "0.3"; 1.0 is supported`},
		"binary, an id twice":             {ceHeaders("ce-id: 1 | 1"), "", "ce-id is there 2 times"},
		"binary, two content types":       {ceHeaders("Content-Type: a/b | c/d"), "", "Content-Type is there 2 times"},
		"binary with a data content type": {ceHeaders("ce-datacontenttype: a/b"), "", "in binary mode that is Content-Type"},
		"binary with data as a header":    {ceHeaders("ce-data: 7"), "", "data is there more than once, or as an attribute"},
		"binary, a name with a dash":      {ceHeaders("ce-my-name: 7"), "", `"my-name" is no attribute's name`},
		"binary, a long name":             {ceHeaders("ce-" + strings.Repeat("n", 65) + ": 7"), "", "is no attribute's name"},
		"binary, a long value":            {ceHeaders("ce-subject: " + strings.Repeat("n", 4097)), "", "subject is longer than 4096 bytes"},
		"binary, a very long value":       {ceHeaders("ce-subject: " + strings.Repeat("n", 4*4097)), "", "a ce- header is longer than 16384 bytes"},
		"binary, a source that is none":   {ceHeaders("ce-source: :%25zz"), "", "source is not a URI reference"},
		"binary, a time that is none":     {ceHeaders("ce-time: yesterday"), "", "time is not a time in RFC 3339"},
		"binary, a schema that is none":   {ceHeaders("ce-dataschema: schemas/7"), "", "dataschema is not an absolute URI"},
		"binary, a type that is none":     {ceHeaders("Content-Type: a/b/c"), "", "the data's content type is not a media type"},
		"nothing of an event":             {http.Header{"Content-Type": {"application/json"}}, ceObject + "}", "there are no ce- headers"},
		"another format":                  {http.Header{"Content-Type": {"application/cloudevents+avro"}}, "", `the format "application/cloudevents+avro" is not supported`},

		"structured":                         {structured, ceObject + `,"data":{"n":1.0}}`, paid},
		"structured with text":               {structured, ceObject + `,"datacontenttype":"text/xml","data":"<a/>"}`, paid},
		"structured with bytes":              {structured, ceObject + `,"datacontenttype":"image/png","data_base64":"AAEC"}`, paid},
		"structured with extensions":         {structured, ceObject + `,"n":7,"b":true,"s":"x","gone":null,"subject":""}`, paid},
		"structured, nothing":                {structured, "", "it is not a JSON object"},
		"structured, an array":               {structured, "[]", "it is not a JSON object"},
		"structured, cut off":                {structured, ceObject, "it is not JSON"},
		"structured, more behind it":         {structured, ceObject + "}{}", "something follows the JSON object"},
		"structured, not UTF-8":              {structured, ceObject + ",\"s\":\"\xff\"}", "the body is not UTF-8"},
		"structured, an id twice":            {structured, ceObject + `,"id":"2"}`, "id is there more than once"},
		"structured, data twice":             {structured, ceObject + `,"data":1,"data":2}`, "data is there more than once"},
		"structured, data in both ways":      {structured, ceObject + `,"data":"AA==","data_base64":"AA=="}`, "both data and data_base64 are there"},
		"structured, an object as text":      {structured, ceObject + `,"datacontenttype":"text/plain","data":{}}`, "data is not a string"},
		"structured, no base64":              {structured, ceObject + `,"data_base64":"?"}`, "data_base64 is not base64"},
		"structured, base64 that is none":    {structured, ceObject + `,"data_base64":7}`, "data_base64 is not a string"},
		"structured, an id that is a number": {structured, `{"specversion":"1.0","id":1,"source":"/","type":"t"}`, "id is not a string"},
		"structured, a fraction":             {structured, ceObject + `,"n":1.5}`, `"n" is a number, but not an integer`},
		"structured, an object":              {structured, ceObject + `,"o":{}}`, `"o" is an object or an array`},
		"structured, a name in capitals":     {structured, ceObject + `,"ID":"2"}`, `"ID" is no attribute's name`},
		"structured, many attributes":        {structured, ceObject + many(`,"a%d":"x"`, 130) + "}", "there are more than 128 attributes"},

		"batched":                    {batched, "[" + ceObject + "},\n " + ceObject + `,"data":[ ]} ]`, paid + "; " + paid},
		"batched, none":              {batched, " [ ] ", ""},
		"batched, no array":          {batched, ceObject + "}", "the body is not a JSON array"},
		"batched, one that is wrong": {batched, "[" + ceObject + `},{"id":"2"}]`, "event 2 of the batch: no CloudEvent: the required attribute specversion"},
		"batched, cut off":           {batched, "[" + ceObject + "}", "the body is not JSON"},
		"batched, more behind it":    {batched, "[] []", "something follows the JSON array"},
		"batched, too many":          {batched, "[" + ceObject + "}" + strings.Repeat(","+ceObject+"}", maxBatch) + "]", "more than 5000 events"},
	} {
		t.Run(name, func(t *testing.T) {
			events, err := cloudEvents(&input{req: Request{Header: c.header, Body: []byte(c.body)}})
			var got []string
			for _, e := range events {
				got = append(got, e.eventType+" "+e.deliveryID())
			}
			if err != nil {
				if !strings.Contains(err.Detail, c.want) || c.want == "" {
					t.Fatalf("refused with %q, want %q", err.Detail, c.want)
				}
			} else if strings.Join(got, "; ") != c.want {
				t.Fatalf("got %q, want %q", got, c.want)
			}
		})
	}
}

func many(format string, n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, format, i)
	}
	return text.String()
}

// An event of a batch is handed on as it was written, and with nothing beside it.
func TestCloudEventsOfABatchKeepTheirBytes(t *testing.T) {
	written := []string{
		"{\n \"type\" :\t\"t\", \"specversion\":\"1.0\",\"id\":\"\\u0031\",\"source\":\"/\", \"data\": [1.0, 12345678901234567890, \"<&>\"] }",
		ceObject + `,"data":"]},{"}`,
	}
	body := []byte(" [ " + strings.Join(written, " \r\n,\t") + "\n]\n")
	events, err := cloudEvents(&input{req: Request{Header: http.Header{"Content-Type": {cloudEventsBatchJSON}}, Body: body}})
	if err != nil || len(events) != len(written) {
		t.Fatal(events, err)
	}
	for i, e := range events {
		if string(e.payload) != written[i] || e.contentType != cloudEventsJSON || cap(e.payload) != len(e.payload) {
			t.Errorf("event %d is %q as %s, want %q", i, e.payload, e.contentType, written[i])
		}
	}
}

func FuzzCloudEvents(f *testing.F) {
	f.Add(cloudEventsJSON, "", []byte(ceObject+`,"data":{"a":[1]},"n":7}`))
	f.Add(cloudEventsBatchJSON, "", []byte("[ "+ceObject+"} , "+ceObject+`,"data_base64":"AA=="}]`))
	f.Add("text/plain", `"%41\"`, []byte("x"))
	f.Fuzz(func(t *testing.T, contentType, id string, body []byte) {
		header := ceHeaders()
		header["Content-Type"], header["Ce-Id"] = []string{contentType}, []string{id}
		before := bytes.Clone(body)
		events, err := cloudEvents(&input{req: Request{Header: header, Body: body}})
		if !bytes.Equal(before, body) {
			t.Fatal("the body was changed")
		}
		for _, e := range events {
			if err == nil && (e.id == "" || e.source == "" || e.eventType == "" || len(e.deliveryID()) > maxValue) {
				t.Fatalf("%+v", e)
			}
			if e.payload != nil && !bytes.Contains(body, e.payload) {
				t.Fatalf("%q is not in %q", e.payload, body)
			}
		}
	})
}
