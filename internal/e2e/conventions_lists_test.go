package e2e_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

const hour = time.Hour

// ago is a moment of the past as the API writes times.
func ago(d time.Duration) string { return time.Now().Add(-d).UTC().Format(time.RFC3339Nano) }

// page reads a page of a list.
func (w *conventionWorld) page(path string, query ...string) gjson.Result {
	w.t.Helper()
	return w.ask(200, "GET", path+"?"+values("", "", query...).Encode(), nil)
}

// values are a query: a parameter, "" for none, and pairs.
func values(name, value string, more ...string) url.Values {
	query := url.Values{}
	if value != "" {
		query.Add(name, value)
	}
	for pair := range slices.Chunk(more, 2) {
		query.Add(pair[0], pair[1])
	}
	return query
}

// walk reads a list page by page to its end, and then back to its start; both
// ways must show the same pages. It returns all ids.
func (w *conventionWorld) walk(path, key string, query ...string) (ids []string) {
	w.t.Helper()
	var pages []gjson.Result
	for at := query; len(pages) < 50; {
		page := w.page(path, at...)
		pages = append(pages, page)
		ids = append(ids, texts(page, "data.#."+key)...)
		if page.Get("done").Bool() {
			break
		}
		at = append(slices.Clone(query), "iterator", page.Get("iterator").Str)
	}
	for i := len(pages) - 1; i > 0; i-- {
		back := w.page(path, append(slices.Clone(query), "iterator", pages[i].Get("prevIterator").Str)...)
		w.same(fmt.Sprintf("%s: page %d on the way back", path, i-1), texts(back, "data.#."+key), texts(pages[i-1], "data.#."+key))
	}
	return ids
}

// furnished makes an application's worth of records: as many endpoints as
// messages, each delivered to each.
func (w *conventionWorld) furnished(n int) (endpoints, messages []string) {
	w.t.Helper()
	r := newReceiver(w.t, nil)
	for range n {
		endpoints = append(endpoints, w.client.endpoint(w.app, r.URL+"/hook", nil))
	}
	for range n {
		messages = append(messages, w.message("a.b", nil).Get("id").Str)
	}
	return endpoints, messages
}

// backwards is a list the other way round.
func backwards(list []string) []string {
	list = slices.Clone(list)
	slices.Reverse(list)
	return list
}

// listConventions are about pages, their order and what narrows them down.
func listConventions() []convention {
	const group = "Lists"
	return []convention{
		{group, "A page is an object of data, iterator, prevIterator and done.", in(func(w *conventionWorld) {
			w.furnished(1)
			for _, path := range []string{"/app?limit=1", "/event-type?limit=1", w.of("/endpoint"), w.of("/msg"), w.of("/source"), w.of("/delivery"), w.of("/replay"), "/background-task?limit=1", "/key?limit=1"} {
				names := []string{}
				w.ask(200, "GET", path, nil).ForEach(func(key, _ gjson.Result) bool { names = append(names, key.Str); return true })
				w.same(path, names, []string{"data", "iterator", "prevIterator", "done"})
			}
		})},
		{group, "Both iterators of an empty list are there, and null, and data is an empty list.", in(func(w *conventionWorld) {
			for _, path := range []string{"/endpoint", "/msg", "/source", "/delivery", "/replay"} {
				w.reads(w.page(w.of(path)), "data", "[]", "iterator", "null", "prevIterator", "null", "done", "true")
			}
		})},
		{group, "Filters look within bounds: a page may be empty before the list's end; done is false then, and the iterator leads on.", in(func(w *conventionWorld) {
			endpoint, _ := w.listener(200, nil)
			w.ask(200, "POST", w.of("/endpoint/"+endpoint+"/pause"), nil)
			w.many(1100, envelopeOf("a.b", nil)) // a thousand are looked at for a page
			path, failed := w.of("/endpoint/"+endpoint+"/msg"), []string{"status", "2"}
			first := w.page(path, failed...)
			w.reads(first, "data", "[]", "done", "false", "prevIterator", "null")
			w.reads(w.page(path, append(failed, "iterator", first.Get("iterator").Str)...), "data", "[]", "done", "true", "iterator", "null")
		})},
		{group, "The iterator is the page's last id, also at the list's end; prevIterator is a dash and the first.", in(func(w *conventionWorld) {
			endpoints, _ := w.furnished(3)
			w.reads(w.page(w.of("/endpoint"), "limit", "2"), "done", "false", "iterator", quoted(endpoints[1]), "prevIterator", quoted("-"+endpoints[2]))
			w.reads(w.page(w.of("/endpoint")), "done", "true", "iterator", quoted(endpoints[0]), "prevIterator", quoted("-"+endpoints[2]))
		})},
		{group, "A page has 50 entries unless limit says otherwise.", in(func(w *conventionWorld) {
			for range 51 {
				w.ask(202, "POST", w.of("/msg"), envelopeOf("a.b", nil))
			}
			w.reads(w.page(w.of("/msg")), "data.#", "50", "done", "false")
			w.reads(w.page(w.of("/msg"), "limit", "51"), "data.#", "51", "done", "true")
			w.reads(w.page(w.of("/msg"), "limit", "1"), "data.#", "1")
		})},
		{group, "limit is 1 to 250, else 422.", in(func(w *conventionWorld) {
			for _, path := range []string{"/app", "/event-type", w.of("/endpoint"), w.of("/msg"), w.of("/delivery")} {
				w.page(path, "limit", "250")
				w.faulty("query.limit", "GET", path+"?limit=251", nil)
				w.faulty("query.limit", "GET", path+"?limit=0", nil)
			}
		})},
		{group, "Applications come oldest first, endpoints, messages, attempts and sources newest first, unless order says otherwise.", in(func(w *conventionWorld) {
			endpoints, messages := w.furnished(2)
			var sources []string
			for range 3 {
				sources = append(sources, w.ask(201, "POST", w.of("/source"), object{"name": "s", "provider": "none"}).Get("id").Str)
			}
			w.same("sources", w.walk(w.of("/source"), "id"), backwards(sources))
			w.same("sources, ascending", w.walk(w.of("/source"), "id", "order", "ascending"), sources)
			w.same("endpoints", w.walk(w.of("/endpoint"), "id"), backwards(endpoints))
			w.same("endpoints, ascending", w.walk(w.of("/endpoint"), "id", "order", "ascending"), endpoints)
			w.same("messages", w.walk(w.of("/msg"), "id"), backwards(messages))
			w.same("messages, ascending", w.walk(w.of("/msg"), "id", "order", "ascending"), messages)
			attempts := w.walk(w.of("/attempt/endpoint/"+endpoints[0]), "id")
			w.same("attempts, ascending", w.walk(w.of("/attempt/endpoint/"+endpoints[0]), "id", "order", "ascending"), backwards(attempts))
			w.same("attempts are sorted", slices.IsSorted(backwards(attempts)), true)
			other := w.application("other")
			first := w.page("/app", "iterator", w.app, "limit", "250")
			w.same("a later application comes later", slices.Contains(texts(first, "data.#.id"), other), true)
			first = w.page("/app", "iterator", w.app, "limit", "250", "order", "descending")
			w.same("and earlier in the other order", slices.Contains(texts(first, "data.#.id"), other), false)
			w.faulty("query.order", "GET", "/app?order=sideways", nil)
		})},
		{group, "Following the iterator shows everything once; prevIterator walks back over the same pages, in the same order.", in(func(w *conventionWorld) {
			endpoints, messages := w.furnished(5)
			w.same("endpoints", w.walk(w.of("/endpoint"), "id", "limit", "2"), backwards(endpoints))
			w.same("messages", w.walk(w.of("/msg"), "id", "limit", "2"), backwards(messages))
			w.same("messages, ascending", w.walk(w.of("/msg"), "id", "limit", "2", "order", "ascending"), messages)
			w.same("attempts of an endpoint", len(w.walk(w.of("/attempt/endpoint/"+endpoints[0]), "id", "limit", "2")), 5)
			w.same("attempts of a message", len(w.walk(w.of("/attempt/msg/"+messages[0]), "id", "limit", "2")), 5)
			w.same("endpoints of a message", w.walk(w.of("/msg/"+messages[0]+"/endpoint"), "id", "limit", "2"), endpoints)
			w.same("messages of an endpoint", w.walk(w.of("/endpoint/"+endpoints[0]+"/msg"), "id", "limit", "2"), backwards(messages))
		})},
		{group, "An iterator stays good when the record it names is deleted, and when others are made.", in(func(w *conventionWorld) {
			endpoints, _ := w.furnished(4)
			first := w.page(w.of("/endpoint"), "limit", "2", "order", "ascending")
			w.ask(204, "DELETE", w.of("/endpoint/"+endpoints[1]), nil)
			w.ask(204, "DELETE", w.of("/endpoint/"+endpoints[0]), nil)
			fifth := w.client.endpoint(w.app, "http://127.0.0.1:9/", object{"disabled": true})
			next := w.page(w.of("/endpoint"), "order", "ascending", "iterator", first.Get("iterator").Str)
			w.same("the rest", texts(next, "data.#.id"), []string{endpoints[2], endpoints[3], fifth})
		})},
		{group, "An iterator of another list is 422, not the end of this one.", in(func(w *conventionWorld) {
			endpoint, _ := w.listener(200, nil)
			message := w.message("a.b", nil).Get("id").Str
			for _, path := range []string{
				"/app", "/key", "/background-task", w.of("/endpoint"), w.of("/msg"), w.of("/source"), w.of("/delivery"), w.of("/replay"), w.of("/attempt/endpoint/" + endpoint),
				w.of("/attempt/msg/" + message), w.of("/msg/" + message + "/endpoint"), w.of("/msg/" + message + "/explain"), w.of("/endpoint/" + endpoint + "/msg"),
			} {
				for _, iterator := range []string{"nonsense", "-nonsense", "org_0ERbNHTM6fguHUOiI43R1TLOQzZ"} {
					w.faulty("query.iterator", "GET", path+"?iterator="+iterator, nil)
				}
			}
		})},
		{group, "Applications without endpoints, or with none but disabled ones, are left out where the query says so.", in(func(w *conventionWorld) {
			before := w.app // the list is read from here on
			bare, quiet, live := w.application("bare"), w.application("quiet"), w.application("live")
			w.client.endpoint(quiet, "http://127.0.0.1:9/", object{"disabled": true})
			w.client.endpoint(live, "http://127.0.0.1:9/", nil)
			shown := func(query ...string) (list []bool) {
				ids := texts(w.page("/app", append(query, "iterator", before, "limit", "250")...), "data.#.id")
				for _, id := range []string{bare, quiet, live} {
					list = append(list, slices.Contains(ids, id))
				}
				return list
			}
			w.same("all", shown(), []bool{true, true, true})
			w.same("with endpoints", shown("exclude_apps_with_no_endpoints", "true"), []bool{false, true, true})
			w.same("with enabled ones", shown("exclude_apps_with_no_endpoints", "true", "exclude_apps_with_disabled_endpoints", "true"), []bool{false, false, true})
		})},
		{group, "before and after bound messages and attempts in time.", in(func(w *conventionWorld) {
			endpoint, _ := w.listener(200, nil)
			first, second := w.message("a.b", nil), w.message("a.b", nil)
			for second.Get("timestamp").Str == first.Get("timestamp").Str { // a millisecond each
				second = w.message("a.b", nil)
			}
			at := first.Get("timestamp").Str
			after := texts(w.page(w.of("/msg"), "after", at), "data.#.id")
			w.same("the later is after the earlier", []bool{slices.Contains(after, second.Get("id").Str), slices.Contains(after, first.Get("id").Str)}, []bool{true, false})
			w.same("before", texts(w.page(w.of("/msg"), "before", second.Get("timestamp").Str, "order", "ascending"), "data.0.id"), []string{first.Get("id").Str})
			w.reads(w.page(w.of("/attempt/endpoint/"+endpoint), "before", ago(hour)), "data.#", "0")
			w.reads(w.page(w.of("/attempt/msg/"+first.Get("id").Str), "after", ago(hour)), "data.#", "1")
		})},
		{group, "A page that shows payloads ends with the one by which they come to 8 MiB; limits tells so.", in(func(w *conventionWorld) {
			w.many(10, envelopeOf("a.b", object{"payload": object{"a": strings.Repeat("x", 1_000_000)}}))
			w.reads(w.ask(200, "GET", "/limits", nil), `data.#(name=="page.payloads").value`, fmt.Sprint(8<<20))
			first := w.page(w.of("/msg"))
			w.reads(first, "data.#", "9", "done", "false")
			w.reads(w.page(w.of("/msg"), "iterator", first.Get("iterator").Str), "data.#", "1", "done", "true")
			w.reads(w.page(w.of("/msg"), "with_content", "false"), "data.#", "10", "done", "true")
		})},
		// Svix looks back 90 days unless told otherwise; here retention is the bound.
		{group, "Without before and after, a list reaches back over everything that is kept.", in(func(w *conventionWorld) {
			w.message("a.b", nil)
			w.same("all", texts(w.page(w.of("/msg")), "data.#.id"), texts(w.page(w.of("/msg"), "after", ago(365*24*hour)), "data.#.id"))
			w.reads(w.page(w.of("/msg"), "before", ago(91*24*hour)), "data.#", "0", "done", "true")
		})},
		{group, "Several values of a parameter are separated by commas, repeated, or written as name[] and name[0].", in(func(w *conventionWorld) {
			for _, name := range []string{"a.one", "a.two", "a.three"} {
				w.message(name, nil)
			}
			for _, query := range []string{
				"event_types=a.one,a.two", "event_types=a.one&event_types=a.two", "event_types[]=a.one&event_types[]=a.two",
				"event_types%5B0%5D=a.one&event_types%5B1%5D=a.two", "event_types[0]=a.one&event_types[1]=a.two",
			} {
				w.same(query, texts(w.ask(200, "GET", w.of("/msg?order=ascending&"+query), nil), "data.#.eventType"), []string{"a.one", "a.two"})
			}
		})},
		{group, "Messages and attempts are narrowed down by event type, channel and tag.", in(func(w *conventionWorld) {
			endpoint, _ := w.listener(200, nil)
			w.message("a.one", object{"channels": []string{"blue"}, "tags": []string{"spring"}})
			w.message("a.two", nil)
			for _, path := range []string{w.of("/msg"), w.of("/attempt/endpoint/" + endpoint), w.of("/endpoint/" + endpoint + "/msg")} {
				w.reads(w.page(path), "data.#", "2")
				for _, query := range [][]string{{"event_types", "a.one"}, {"channel", "blue"}, {"tag", "spring"}} {
					w.same(path+fmt.Sprint(query), len(texts(w.page(path, query...), "data.#.id")), 1)
					w.reads(w.page(path, query[0], "no.such"), "data.#", "0")
				}
			}
		})},
		{group, "Attempts are narrowed down by status and by the class of the response's code.", in(func(w *conventionWorld) {
			good, _ := w.listener(200, nil)
			bad, _ := w.listener(500, once())
			message := w.message("a.b", nil).Get("id").Str
			for path, counts := range map[string][4]string{
				w.of("/attempt/msg/" + message): {"1", "1", "1", "1"}, w.of("/attempt/endpoint/" + good): {"1", "0", "1", "0"}, w.of("/attempt/endpoint/" + bad): {"0", "1", "0", "1"},
			} {
				w.reads(w.page(path, "status", "0"), "data.#", counts[0])
				w.reads(w.page(path, "status", "2"), "data.#", counts[1])
				w.reads(w.page(path, "status_code_class", "200"), "data.#", counts[2])
				w.reads(w.page(path, "status_code_class", "500"), "data.#", counts[3])
				w.reads(w.page(path, "status", "1"), "data.#", "0")
				w.faulty("query.status", "GET", path+"?status=5", nil)
			}
		})},
		{group, "The messages of an endpoint are narrowed down by how they stand there.", in(func(w *conventionWorld) {
			bad, _ := w.listener(500, once())
			message := w.message("a.b", nil).Get("id").Raw
			w.reads(w.page(w.of("/endpoint/"+bad+"/msg"), "status", "2"), "data.#", "1", "data.0.id", message)
			w.reads(w.page(w.of("/endpoint/"+bad+"/msg"), "status", "0"), "data.#", "0")
		})},
		{group, "An attempt brings its message with with_msg, and leaves its response out with with_content=false.", in(func(w *conventionWorld) {
			url := w.answering(saying(200, "well received"))
			w.client.endpoint(w.app, url, nil)
			message := w.message("a.b", object{"payload": object{"a": 1}}).Get("id").Str
			path := w.of("/attempt/msg/" + message)
			w.reads(w.page(path), "data.0.msg", "", "data.0.response", `"well received"`)
			w.reads(w.page(path, "with_msg", "true"), "data.0.msg.id", quoted(message), "data.0.msg.payload.a", "1")
			w.reads(w.page(path, "with_content", "false"), "data.0.response", `""`)
		})},
		{group, "Times are RFC 3339 with their zone.", in(func(w *conventionWorld) {
			endpoint, _ := w.listener(200, nil)
			message := w.message("a.b", nil)
			attempt := w.page(w.of("/attempt/msg/"+message.Get("id").Str), "limit", "1").Get("data.0.timestamp").Str
			for _, text := range []string{
				message.Get("timestamp").Str, attempt, w.ask(200, "GET", w.of("/endpoint/"+endpoint), nil).Get("createdAt").Str, w.ask(200, "GET", w.of(""), nil).Get("updatedAt").Str,
			} {
				if at, err := time.Parse(time.RFC3339Nano, text); err != nil || !strings.HasSuffix(text, "Z") || time.Since(at) > hour {
					w.t.Errorf("%q: %v", text, err)
				}
			}
		})},
	}
}
