package e2e_test

import (
	"slices"
	"sync"
)

// repeatConventions are about idempotency keys.
func repeatConventions() []convention {
	const group = "Idempotency keys"
	const header = "Idempotency-Key"
	return []convention{
		{group, "A POST that is repeated is answered as the first one was, status and body to the byte.", in(func(w *conventionWorld) {
			for _, key := range []string{"mine", "auto_0b9d"} {
				keyed := w.with(header, key)
				for path, in := range map[string]object{
					"/app": {"name": "n", "uid": w.uid + "." + key}, w.of("/msg"): envelopeOf("a.b", object{"payload": object{"n": 1.5}}), w.of("/endpoint"): {"url": "http://127.0.0.1:9/", "disabled": true}, "/auth/app-portal-access/" + w.app: {},
				} {
					first, second := keyed.reply("POST", path, in), keyed.reply("POST", path, in)
					w.same(key+" "+path, second.status, first.status)
					w.same(key+" "+path, string(second.body), string(first.body))
				}
				w.same(key+": status of a created record", keyed.reply("POST", "/app", object{}).status, 201)
			}
			w.reads(w.page(w.of("/msg")), "data.#", "2")
			w.reads(w.page(w.of("/endpoint")), "data.#", "2")
		})},
		{group, "An empty answer is repeated too.", in(func(w *conventionWorld) {
			endpoint := w.client.endpoint(w.app, "http://127.0.0.1:9/", object{"disabled": true})
			keyed := w.with(header, "once")
			keyed.ask(204, "POST", w.of("/endpoint/"+endpoint+"/secret/rotate"), object{})
			rotated := w.secret(w.app, endpoint)
			keyed.ask(204, "POST", w.of("/endpoint/"+endpoint+"/secret/rotate"), object{})
			w.same("secret", w.secret(w.app, endpoint), rotated)
		})},
		{group, "Another key, another URI and another credential are other requests.", in(func(w *conventionWorld) {
			path, in := w.of("/msg"), envelopeOf("a.b", nil)
			ids := []string{w.with(header, "one").ask(202, "POST", path, in).Get("id").Str}
			ids = append(ids, w.with(header, "two").ask(202, "POST", path, in).Get("id").Str)
			ids = append(ids, w.with(header, "one").ask(202, "POST", path+"?with_content=true", in).Get("id").Str)
			token := w.ask(201, "POST", "/key", object{"name": "k", "scope": "publish-only", "application": w.app}).Get("token").Str
			ids = append(ids, w.as(token).with(header, "one").ask(202, "POST", path, in).Get("id").Str)
			slices.Sort(ids)
			w.same("four messages", len(slices.Compact(ids)), 4)
		})},
		{group, "A refusal is not kept: the same key may be tried again.", in(func(w *conventionWorld) {
			keyed := w.with(header, "again")
			keyed.faulty("body.name", "POST", "/app", object{})
			keyed.fails(409, "conflict", "POST", "/app", object{"name": "n", "uid": w.uid})
			keyed.ask(201, "POST", "/app", object{"name": "n", "uid": w.uid + ".new"})
		})},
		{group, "Bodies are not compared: another body under the same key gets the first one's answer.", in(func(w *conventionWorld) {
			keyed := w.with(header, "body")
			first := keyed.ask(202, "POST", w.of("/msg"), envelopeOf("a.b", nil))
			w.same("answer", keyed.ask(202, "POST", w.of("/msg"), envelopeOf("c.d", nil)).Raw, first.Raw)
			w.same("even to what is no JSON", keyed.ask(202, "POST", w.of("/msg"), "{").Raw, first.Raw)
		})},
		{group, "Only a POST is repeated.", in(func(w *conventionWorld) {
			keyed, path := w.with(header, "put"), "/app/"+w.uid+".put"
			keyed.ask(201, "PUT", path, object{"name": "one"})
			w.reads(keyed.ask(200, "PUT", path, object{"name": "two"}), "name", `"two"`)
		})},
		{group, "Copies that arrive at the same time become one message.", in(func(w *conventionWorld) {
			for _, key := range []string{"together", "auto_together"} {
				before := len(w.page(w.of("/msg")).Get("data").Array())
				keyed, bodies := w.with(header, key), make([]string, 8)
				var all sync.WaitGroup
				for i := range bodies {
					all.Go(func() { bodies[i] = string(keyed.reply("POST", w.of("/msg"), envelopeOf("a.b", nil)).body) })
				}
				all.Wait()
				w.same("answers to "+key, len(slices.Compact(bodies)), 1)
				w.same("messages of "+key, len(w.page(w.of("/msg")).Get("data").Array()), before+1)
			}
		})},
		{group, "A key is one of 1 to 256 printable ASCII characters, else 422.", in(func(w *conventionWorld) {
			long := string(slices.Repeat([]byte("k"), 256))
			w.with(header, long).ask(202, "POST", w.of("/msg"), envelopeOf("a.b", nil))
			for _, key := range []string{long + "k", "schlüssel", ""} {
				w.with(header, key).faulty("header.idempotency-key", "POST", w.of("/msg"), envelopeOf("a.b", nil))
			}
		})},
		{group, "Answers are kept for 12 hours, those to keys that begin with auto_ for minutes; limits tells both.", in(func(w *conventionWorld) {
			limits := w.ask(200, "GET", "/limits", nil)
			w.reads(limits, `data.#(name=="idempotency.kept").value`, "43200", `data.#(name=="idempotency.kept").unit`, `"seconds"`)
			if auto := limits.Get(`data.#(name=="idempotency.auto").value`).Int(); auto < 60 || auto > 3600 {
				w.t.Errorf("auto_ keys are kept for %d s", auto)
			}
		})},
	}
}
