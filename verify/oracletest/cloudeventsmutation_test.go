package oracletest

import (
	"bytes"
	"fmt"
	"strings"
)

// eventMutation is a way of changing a request that brings events.
type eventMutation struct {
	from   mode
	name   string
	change func(r *request)
}

// cloudEventsStricter are the mutations that the SDK accepts and we refuse. There
// is none that it refuses and we accept. cloudEventsRead are those that both
// accept and read differently.
var (
	cloudEventsStricter = map[string]string{
		"binary, two ids":                        twoHeaders,
		"binary, two types":                      twoHeaders,
		"binary, data as a header":               "data is no attribute in the specification; the SDK makes an extension of it",
		"binary, a content type of other events": "the specification reserves what begins with application/cloudevents; we do not read that format",
		"binary, version 0.3":                    "the SDK still reads 0.3, whose names and modes are others; we read 1.0",
		"structured, version 0.3":                "the SDK still reads 0.3, whose names and modes are others; we read 1.0",
		"structured, two ids":                    "the SDK takes the last of two; readers differ about which one counts (2)",
		"structured, data twice":                 "the SDK takes the last of two; readers differ about which one counts (2)",
		"structured, data in both ways":          "the specification allows one of data and data_base64; readers differ about which one counts (2)",
		"structured, a fraction as extension":    "the specification knows integers only; the SDK cuts the fraction off",
		"structured, an extension in capitals":   "the specification wants lower-case names; the SDK changes them",
		"structured, not UTF-8":                  "JSON is UTF-8; the SDK hands the bytes on",
		"batched, more behind it":                "the SDK stops reading at the end of the array (2)",
	}
	cloudEventsRead = map[string]string{
		"binary, an encoded id": "the specification has attributes percent-encoded in headers; the SDK neither encodes nor decodes",
		"binary, a quoted id":   "the specification allows quoted headers; the SDK keeps the quotes",
	}
)

func binaryMutations() []eventMutation {
	set := func(name, header string, values ...string) eventMutation {
		return eventMutation{binary, name, func(r *request) { r.header[header] = values }}
	}
	without := func(header string) eventMutation {
		return eventMutation{binary, "without " + header, func(r *request) { r.header.Del(header) }}
	}
	return []eventMutation{
		without("Ce-Id"), without("Ce-Source"), without("Ce-Type"), without("Ce-Specversion"), without("Ce-Subject"), without("Ce-Time"), without("Content-Type"),
		set("an empty id", "Ce-Id", ""), set("an id of a blank", "Ce-Id", " "), set("an empty source", "Ce-Source", ""),
		set("an empty type", "Ce-Type", ""), set("an empty subject", "Ce-Subject", ""), set("an empty extension", "Ce-Mine", ""),
		{binary, "version 0.3", func(r *request) {
			r.header.Set("Ce-Specversion", "0.3")
			r.header.Del("Ce-Dataschema") // which 0.3 had under another name
		}},
		set("version 1.1", "Ce-Specversion", "1.1"), set("version 1", "Ce-Specversion", "1"),
		set("two ids", "Ce-Id", "1", "2"), set("two types", "Ce-Type", "a", "a"),
		set("an encoded id", "Ce-Id", "a%20b"), set("a quoted id", "Ce-Id", `"a"`), set("half an encoding", "Ce-Id", "a%2"),
		set("a time without zone", "Ce-Time", "2026-11-22T10:00:00"), set("a time that is a number", "Ce-Time", "1750031289"), set("a time in another zone", "Ce-Time", "2026-11-22T10:00:00+05:30"),
		set("a source that is none", "Ce-Source", "%zz"), set("a source of one word", "Ce-Source", "me"),
		set("a schema that is a path", "Ce-Dataschema", "/schema"),
		set("another extension", "Ce-Another", "1"), set("an extension with a dash", "Ce-An-Other", "1"), set("an extension with a low line", "Ce-An_other", "1"),
		set("a data content type of its own", "Ce-Datacontenttype", "text/xml"), set("data as a header", "Ce-Data", "1"),
		set("another content type", "Content-Type", "text/csv"), set("a content type that is none", "Content-Type", "a/b/c"), set("a content type of one word", "Content-Type", "text"),
		set("a content type of events", "Content-Type", "application/cloudevents+json"), set("a content type of other events", "Content-Type", "application/cloudevents+avro"),
		{binary, "data gone", func(r *request) { r.body = nil }},
		{binary, "data that is no JSON", func(r *request) { r.body = []byte("{") }},
	}
}

func structuredMutations() []eventMutation {
	replace := func(name, old, by string) eventMutation {
		return eventMutation{structured, name, func(r *request) {
			if !bytes.Contains(r.body, []byte(old)) {
				panic(fmt.Sprintf("%s is not in %s", old, r.body))
			}
			r.body = bytes.Replace(r.body, []byte(old), []byte(by), 1)
		}}
	}
	add := func(name, member string) eventMutation {
		return replace(name, `{"specversion"`, "{"+member+`,"specversion"`)
	}
	contentType := func(name, value string) eventMutation {
		return eventMutation{structured, name, func(r *request) { r.header.Set("Content-Type", value) }}
	}
	const id = `"id":"A234-1234-1234",`
	return []eventMutation{
		replace("without id", id, ""), replace("without source", `"source":`, `"origin":`), replace("without type", `"type":`, `"kind":`), replace("without version", `"specversion":"1.0",`, ""),
		replace("an empty id", id, `"id":"",`), replace("a null id", id, `"id":null,`), replace("a number as id", id, `"id":7,`), replace("an escaped id", id, `"id":"\u0041\/",`),
		replace("version 0.3", `"1.0"`, `"0.3"`), replace("version 2.0", `"1.0"`, `"2.0"`), replace("a number as version", `"1.0"`, `1.0`),
		replace("two ids", id, id+`"id":"2",`), replace("another case of id", id, `"ID":"A234-1234-1234",`), replace("two versions", `{"specversion"`, `{"specversion":"1.0","specversion"`),
		add("a null extension", `"mine":null`), add("a number as extension", `"mine":12`), add("a fraction as extension", `"mine":1.5`), add("a big number as extension", `"mine":12345678901`),
		add("an object as extension", `"mine":{}`), add("an array as extension", `"mine":[]`), add("an extension with a dash", `"my-own":"x"`), add("an extension in capitals", `"Mine":"x"`),
		replace("a time that is none", `"time":"2026`, `"time":"x2026`), replace("a content type that is none", `"datacontenttype":"application/json"`, `"datacontenttype":"a/b/c"`),
		replace("data of another type", `"datacontenttype":"application/json"`, `"datacontenttype":"text/plain"`), replace("data in both ways", `"data":`, `"data_base64":"AA==","data":`),
		replace("base64", `"data":{"a":1}`, `"data_base64":"AAEC"`), replace("base64 that is none", `"data":{"a":1}`, `"data_base64":"A!"`), replace("base64 that is a number", `"data":{"a":1}`, `"data_base64":77`),
		replace("data null", `"data":{"a":1}`, `"data":null`), replace("data twice", `"data":{"a":1}`, `"data":1,"data":2`), replace("data that is no JSON", `"data":{"a":1}`, `"data":{"a":1`),
		{structured, "cut off", func(r *request) { r.body = r.body[:len(r.body)-1] }},
		{structured, "more behind it", func(r *request) { r.body = append(r.body, "{}"...) }},
		{structured, "white space around it", func(r *request) { r.body = []byte(" \n" + string(r.body) + "\r\n") }},
		{structured, "a mark before it", func(r *request) { r.body = []byte("\ufeff" + string(r.body)) }},
		{structured, "not UTF-8", func(r *request) { r.body = bytes.Replace(r.body, []byte("a subject"), []byte("a \xff"), 1) }},
		{structured, "nothing", func(r *request) { r.body = nil }},
		{structured, "an array", func(r *request) { r.body = []byte("[" + string(r.body) + "]") }},
		contentType("with a charset", "application/cloudevents+json; charset=utf-8"), contentType("in capitals", "Application/CloudEvents+JSON"),
		contentType("as plain JSON", "application/json"), contentType("as XML", "application/cloudevents+xml"), contentType("as events of no format", "application/cloudevents"),
		{structured, "with headers of another event", func(r *request) { r.header["Ce-Id"], r.header["Ce-Type"] = []string{"2"}, []string{"other"} }},
	}
}

func batchedMutations() []eventMutation {
	body := func(name string, change func(body string) string) eventMutation {
		return eventMutation{batched, name, func(r *request) { r.body = []byte(change(string(r.body))) }}
	}
	return []eventMutation{
		body("one without id", func(body string) string { return strings.Replace(body, `"id"`, `"idx"`, 1) }),
		body("no array", func(body string) string { return strings.Trim(body, "[] \n") }),
		body("cut off", func(body string) string { return strings.TrimRight(body, "] \n") }),
		body("more behind it", func(body string) string { return body + "[]" }),
		body("an array in it", func(body string) string { return "[" + body + "]" }),
		body("white space in it", func(body string) string { return strings.NewReplacer("[", " [ \n", "]", "\t] ").Replace(body) }),
		body("a comma at its end", func(body string) string { return strings.Replace(body, "]", ",]", 1) }),
		body("null in it", func(string) string { return "[null]" }),
		body("nothing", func(string) string { return "" }),
		{batched, "with a charset", func(r *request) { r.header.Set("Content-Type", "application/cloudevents-batch+json; charset=utf-8") }},
	}
}
