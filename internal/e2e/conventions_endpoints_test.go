package e2e_test

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// symmetric is a secret of so many bytes.
func symmetricOf(bytes int) string {
	return "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("s", bytes)))
}

// endpointConventions are about endpoints, their headers and secrets.
func endpointConventions() []convention {
	const endpoints, headers, secrets = "Endpoints", "Headers of endpoints", "Secrets"
	const url = "http://127.0.0.1:9/"
	quiet := func(more object) object {
		in := object{"url": url, "disabled": true}
		for name, value := range more {
			in[name] = value
		}
		return in
	}
	channels := func(n int) (list []string) {
		for i := range n {
			list = append(list, fmt.Sprint("c", i))
		}
		return list
	}
	return []convention{
		{endpoints, "An endpoint has 1 to 10 channels, or null for all.", in(func(w *conventionWorld) {
			w.ask(201, "POST", w.of("/endpoint"), quiet(object{"channels": channels(10)}))
			w.faulty("body.channels", "POST", w.of("/endpoint"), quiet(object{"channels": channels(11)}))
			w.faulty("body.channels", "POST", w.of("/endpoint"), quiet(object{"channels": []string{}}))
		})},
		{endpoints, "Metadata has at most 4,096 bytes as JSON.", in(func(w *conventionWorld) {
			most := strings.Repeat("x", 4096-len(`{"k":""}`))
			for path, in := range map[string]object{"/app": {"name": "n"}, w.of("/endpoint"): quiet(nil)} {
				in["metadata"] = object{"k": most}
				w.ask(201, "POST", path, in)
				in["metadata"] = object{"k": most + "x"}
				w.faulty("body.metadata", "POST", path, in)
			}
		})},
		{endpoints, "A rate is 1 to 65535, or null for none.", in(func(w *conventionWorld) {
			for _, name := range []string{"throttleRate", "rateLimit"} {
				w.ask(201, "POST", w.of("/endpoint"), quiet(object{name: 1}))
				w.ask(201, "POST", w.of("/endpoint"), quiet(object{name: 65535}))
				w.ask(201, "POST", w.of("/endpoint"), quiet(object{name: nil}))
				w.faulty("body.throttleRate", "POST", w.of("/endpoint"), quiet(object{name: 0}))
				w.faulty("body.throttleRate", "POST", w.of("/endpoint"), quiet(object{name: 65536}))
			}
		})},
		{endpoints, "An event type that an endpoint selects must exist; a pattern such as invoice.* needs no entry.", in(func(w *conventionWorld) {
			w.faulty("body.eventTypes", "POST", w.of("/endpoint"), quiet(object{"eventTypes": []string{w.uid}}))
			w.ask(201, "POST", w.of("/endpoint"), quiet(object{"eventTypes": []string{w.uid + ".*"}}))
			w.ask(201, "POST", "/event-type", object{"name": w.uid, "description": "d"})
			w.ask(201, "POST", w.of("/endpoint"), quiet(object{"eventTypes": []string{w.uid}}))
		})},
		{endpoints, "A star in a selection stands only for all that follows a dot.", in(func(w *conventionWorld) {
			for _, wrong := range []string{"in*", "*.paid", "a.*.b"} {
				w.faulty("body.eventTypes.0", "POST", w.of("/endpoint"), quiet(object{"eventTypes": []string{wrong}}))
			}
			endpoint, _ := w.listener(200, object{"eventTypes": []string{"deep.*"}})
			for name, matches := range map[string]int{"deep.one": 1, "deep.one.two": 1, "deep": 0, "deeper.one": 0} {
				w.same(name, len(texts(w.message(name, nil), "deliveries.#.endpointId")), matches)
			}
			w.reads(w.page(w.of("/attempt/endpoint/"+endpoint)), "data.#", "2")
		})},
		{endpoints, "An endpoint with channels gets messages of one of them, and one without gets all.", in(func(w *conventionWorld) {
			w.listener(200, nil)
			w.listener(200, object{"channels": []string{"blue", "red"}})
			for n, list := range map[int][]string{2: {"red", "green"}, 1: {"green"}} {
				w.same(fmt.Sprint(list), len(w.message("a.b", object{"channels": list}).Get("deliveries").Array()), n)
			}
			w.same("no channels", len(w.message("a.b", nil).Get("deliveries").Array()), 1)
		})},
		{endpoints, "A url is http or https and public, or in a range that the operator opened, else 422.", in(func(w *conventionWorld) {
			for _, wrong := range []string{"", "ftp://example.com/", "example.com", "http://10.0.0.1/", "http://169.254.169.254/", "http://[::ffff:10.0.0.1]/", "http://user:password@127.0.0.1/"} {
				w.faulty("body.url", "POST", w.of("/endpoint"), object{"url": wrong})
			}
		})},
		{endpoints, "An endpoint has a kind, http unless it says otherwise; one of kind handler is made by its program alone.", in(func(w *conventionWorld) {
			w.reads(w.ask(201, "POST", w.of("/endpoint"), quiet(object{"kind": "http"})), "kind", `"http"`)
			w.reads(w.ask(201, "POST", w.of("/endpoint"), quiet(nil)), "kind", `"http"`)
			w.faulty("body.kind", "POST", w.of("/endpoint"), quiet(object{"kind": "handler"}))
		})},
		{endpoints, "A disabled endpoint is not routed to, until it is enabled.", in(func(w *conventionWorld) {
			endpoint, _ := w.listener(200, object{"disabled": true})
			w.reads(w.message("a.b", nil), "deliveries", "null")
			w.ask(200, "PATCH", w.of("/endpoint/"+endpoint), object{"disabled": false})
			w.reads(w.message("a.b", nil), "deliveries.#", "1")
		})},
		{endpoints, "What goes to a paused endpoint waits until it is resumed.", in(func(w *conventionWorld) {
			endpoint, r := w.listener(200, nil)
			w.reads(w.ask(200, "POST", w.of("/endpoint/"+endpoint+"/pause"), nil), "paused", "true")
			message := w.ask(202, "POST", w.of("/msg"), envelopeOf("a.b", nil)).Get("id").Str
			w.same("state", w.states(w.app, message)[endpoint], "pending")
			w.reads(w.ask(200, "POST", w.of("/endpoint/"+endpoint+"/resume"), nil), "paused", "false")
			w.same("id", r.await(w.t, "/hook", 1)[0].id, message)
		})},
		{endpoints, "Stats count an endpoint's attempts, not its messages.", in(func(w *conventionWorld) {
			endpoint, _ := w.listener(200, nil)
			message := w.message("a.b", nil).Get("id").Str
			w.reads(w.ask(200, "GET", w.of("/endpoint/"+endpoint+"/stats"), nil), "success", "1", "fail", "0", "pending", "0", "sending", "0")
			w.ask(202, "POST", w.of("/msg/"+message+"/endpoint/"+endpoint+"/resend"), nil)
			await(w.t, "the second attempt is counted", func() bool {
				return w.ask(200, "GET", w.of("/endpoint/"+endpoint+"/stats"), nil).Get("success").Int() == 2
			})
		})},
		{endpoints, "Stats of more than 28 days ago, of the future and of a span turned round are 400 invalid_range.", in(func(w *conventionWorld) {
			path := w.of("/endpoint/" + w.client.endpoint(w.app, url, quiet(nil)) + "/stats")
			w.page(path, "since", ago(28*24*hour), "until", ago(0))
			for _, query := range []string{"since=" + ago(29*24*hour), "until=" + ago(-hour), "since=" + ago(hour) + "&until=" + ago(2*hour)} {
				w.fails(400, "invalid_range", "GET", path+"?"+query, nil)
			}
		})},
		{endpoints, "Recovering reaches 14 days back; further is 422.", in(func(w *conventionWorld) {
			path := w.of("/endpoint/" + w.client.endpoint(w.app, url, quiet(nil)) + "/recover")
			w.ask(202, "POST", path, object{"since": ago(14*24*hour - time.Minute)})
			w.faulty("body.since", "POST", path, object{"since": ago(14*24*hour + time.Minute)})
			w.faulty("body.since", "POST", path, object{})
		})},
		{endpoints, "A recovery sends again what failed, as a background task named endpoint.recover.", in(func(w *conventionWorld) {
			code := make(chan int, 1)
			code <- 500
			r := newReceiver(w.t, func(*request, *http.Request) int {
				select {
				case c := <-code:
					return c
				default:
					return 200
				}
			})
			endpoint := w.client.endpoint(w.app, r.URL+"/hook", once())
			message := w.message("a.b", nil).Get("id").Str
			w.same("before", w.states(w.app, message)[endpoint], "dead")
			task := w.ask(202, "POST", w.of("/endpoint/"+endpoint+"/recover"), object{"since": ago(hour)})
			w.reads(task, "task", `"endpoint.recover"`)
			w.finished(task.Get("id").Str)
			r.await(w.t, "/hook", 2)
			await(w.t, "it is delivered", func() bool { return w.states(w.app, message)[endpoint] == "delivered" })
		})},
		{endpoints, "A replay of what is missing is a background task named endpoint.replay, and tasks can be listed.", in(func(w *conventionWorld) {
			message := w.message("a.b", nil).Get("id").Str
			endpoint, r := w.listener(200, nil)
			task := w.ask(202, "POST", w.of("/endpoint/"+endpoint+"/replay-missing"), object{"since": ago(hour)})
			w.reads(task, "task", `"endpoint.replay"`)
			w.finished(task.Get("id").Str)
			w.same("id", r.await(w.t, "/hook", 1)[0].id, message)
			w.same("listed", strings.Contains(w.page("/background-task", "limit", "250", "task", "endpoint.replay").Raw, task.Get("id").Str), true)
		})},
		{endpoints, "A bulk replay chooses by status, event types, channel and tag; the SDKs' statusCodeClass is 422.", in(func(w *conventionWorld) {
			path := w.of("/endpoint/" + w.client.endpoint(w.app, url, quiet(nil)) + "/bulk-replay")
			in := object{"since": ago(hour), "status": 2, "eventTypes": []string{"a.b"}, "channel": "c", "tag": "t", "statusCodeClass": nil}
			w.reads(w.ask(202, "POST", path, in), "task", `"endpoint.bulk-replay"`)
			for _, class := range []int{100, 200, 300, 400, 500} {
				in["statusCodeClass"] = class
				w.faulty("body.statusCodeClass", "POST", path, in)
			}
		})},

		{headers, "Names that the server sets itself, and the prefixes svix-, x-svix-, webhook- and those of clouds, are refused.", in(func(w *conventionWorld) {
			path := w.of("/endpoint/" + w.client.endpoint(w.app, url, quiet(nil)) + "/headers")
			for _, name := range []string{
				"Content-Length", "User-Agent", "host", "Connection", "Transfer-Encoding", "Content-Type", "Svix-Id", "x-svix-own", "Webhook-Id",
				"x-amz-date", "X-Amzn-Trace-Id", "x-google-own", "x-goog-own", "x-azure-ref", "X-FD-HealthProbe",
			} {
				w.faulty("body.headers."+name, "PUT", path, object{"headers": object{name: "v"}})
				w.faulty("body.headers."+name, "POST", w.of("/endpoint"), quiet(object{"headers": object{name: "v"}}))
			}
		})},
		{headers, "A value with a line break is 422.", in(func(w *conventionWorld) {
			path := w.of("/endpoint/" + w.client.endpoint(w.app, url, quiet(nil)) + "/headers")
			for _, value := range []string{"a\r\nX-B: b", "a\nb", "a\rb", "a\x00b"} {
				w.faulty("body.headers.X-A", "PATCH", path, object{"headers": object{"X-A": value}})
			}
		})},
		{headers, "Headers that hold credentials are shown by name alone.", in(func(w *conventionWorld) {
			path := w.of("/endpoint/" + w.client.endpoint(w.app, url, quiet(object{"headers": object{
				"Authorization": "Bearer s3cret", "X-Api-Key": "s3cret", "x-auth-token": "s3cret", "Proxy-Authorization": "s3cret", "X-Plain": "shown",
			}})) + "/headers")
			out := w.ask(200, "GET", path, nil)
			w.reads(out, "headers", `{"X-Plain":"shown"}`, "sensitive", `["Authorization","Proxy-Authorization","X-Api-Key","x-auth-token"]`)
			w.same("leaks", strings.Contains(out.Raw, "s3cret"), false)
		})},
		{headers, "Headers are sent with every delivery, their names in the case they were given.", in(func(w *conventionWorld) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				w.t.Fatal(err)
			}
			defer listener.Close()
			head := make(chan string, 1)
			go func() {
				conn, err := listener.Accept()
				if err != nil {
					close(head)
					return
				}
				defer conn.Close()
				var text strings.Builder
				for r := bufio.NewReader(conn); ; {
					line, err := r.ReadString('\n')
					text.WriteString(line)
					if err != nil || line == "\r\n" {
						break
					}
				}
				fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
				head <- text.String()
			}()
			w.client.endpoint(w.app, "http://"+listener.Addr().String()+"/", object{"headers": object{"X-mIxEd-cAsE": "v", "Authorization": "Bearer t"}})
			w.message("a.b", nil)
			text := <-head
			if !strings.Contains(text, "\r\nX-mIxEd-cAsE: v\r\n") || !strings.Contains(text, "\r\nAuthorization: Bearer t\r\n") {
				w.t.Errorf("sent:\n%s", text)
			}
		})},

		{secrets, "A secret is whsec_ and the base64 of 24 to 75 bytes.", in(func(w *conventionWorld) {
			for _, size := range []int{24, 32, 75} {
				endpoint := w.client.endpoint(w.app, url, quiet(object{"secret": symmetricOf(size)}))
				w.same("kept", w.secret(w.app, endpoint), symmetricOf(size))
			}
			for _, wrong := range []string{symmetricOf(23), symmetricOf(76), "whsec_", "whsec_!", "secret"} {
				w.faulty("body.secret", "POST", w.of("/endpoint"), quiet(object{"secret": wrong}))
				out := w.ask(422, "POST", w.of("/endpoint"), quiet(object{"secret": wrong}))
				if len(wrong) > 10 && strings.Contains(out.Raw, wrong) {
					w.t.Error("the refusal shows the secret")
				}
			}
		})},
		{secrets, "An endpoint without a secret gets one.", in(func(w *conventionWorld) {
			first, second := w.client.endpoint(w.app, url, quiet(nil)), w.client.endpoint(w.app, url, quiet(nil))
			key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(w.secret(w.app, first), "whsec_"))
			if err != nil || len(key) < 24 || len(key) > 75 || w.secret(w.app, first) == w.secret(w.app, second) {
				w.t.Errorf("%d bytes, %v", len(key), err)
			}
		})},
		{secrets, "Of an asymmetric secret, given as whsk_, the public half is shown, as whpk_.", in(func(w *conventionWorld) {
			seed := []byte(strings.Repeat("k", 32))
			endpoint := w.client.endpoint(w.app, url, quiet(object{"secret": "whsk_" + base64.StdEncoding.EncodeToString(seed)}))
			shown := w.secret(w.app, endpoint)
			public, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(shown, "whpk_"))
			if err != nil || !strings.HasPrefix(shown, "whpk_") || len(public) != 32 {
				w.t.Errorf("%s: %v", shown, err)
			}
			w.faulty("body.secret", "POST", w.of("/endpoint"), quiet(object{"secret": shown}))
		})},
		{secrets, "Rotating takes a key or makes one.", in(func(w *conventionWorld) {
			endpoint := w.client.endpoint(w.app, url, quiet(nil))
			rotate, before := w.of("/endpoint/"+endpoint+"/secret/rotate"), w.secret(w.app, endpoint)
			w.ask(204, "POST", rotate, object{})
			w.same("another", w.secret(w.app, endpoint) != before, true)
			w.ask(204, "POST", rotate, object{"key": symmetricOf(24)})
			w.same("the one given", w.secret(w.app, endpoint), symmetricOf(24))
			w.faulty("body.key", "POST", rotate, object{"key": symmetricOf(23)})
		})},
		{secrets, "The grace of a rotation is 0 to 604,800 seconds.", in(func(w *conventionWorld) {
			rotate := w.of("/endpoint/" + w.client.endpoint(w.app, url, quiet(nil)) + "/secret/rotate")
			w.ask(204, "POST", rotate, object{"gracePeriodSeconds": 0})
			w.ask(204, "POST", rotate, object{"gracePeriodSeconds": 604800})
			w.faulty("body.gracePeriodSeconds", "POST", rotate, object{"gracePeriodSeconds": 604801})
			w.faulty("body.gracePeriodSeconds", "POST", rotate, object{"gracePeriodSeconds": -1})
		})},
		{secrets, "The grace of a rotation is 24 hours unless asked otherwise; limits tells so.", in(func(w *conventionWorld) {
			w.reads(w.ask(200, "GET", "/limits", nil), `data.#(name=="secret.grace.default").value`, "86400", `data.#(name=="secret.grace.default").unit`, `"seconds"`)
		})},
		{secrets, "Ten old keys may live beside the current one; one more is 400 limit_reached.", in(func(w *conventionWorld) {
			rotate := w.of("/endpoint/" + w.client.endpoint(w.app, url, quiet(nil)) + "/secret/rotate")
			for range 10 {
				w.ask(204, "POST", rotate, object{})
			}
			w.fails(400, "limit_reached", "POST", rotate, object{})
		})},
		{secrets, "The old key signs beside the new one unless the grace is 0.", in(func(w *conventionWorld) {
			endpoint, r := w.listener(200, nil)
			rotate := w.of("/endpoint/" + endpoint + "/secret/rotate")
			w.ask(204, "POST", rotate, object{})
			w.message("a.b", nil)
			w.same("by default", len(strings.Fields(r.await(w.t, "/hook", 1)[0].header.Get("webhook-signature"))), 2)
			w.ask(204, "POST", rotate, object{"gracePeriodSeconds": 0})
			w.message("a.b", nil)
			w.same("the first of all, and the new one", len(strings.Fields(r.await(w.t, "/hook", 2)[1].header.Get("webhook-signature"))), 2)
		})},
	}
}

// finished waits until a background task is.
func (w *conventionWorld) finished(task string) {
	w.t.Helper()
	await(w.t, "the task is finished", func() bool {
		return w.ask(200, "GET", "/background-task/"+task, nil).Get("status").Str == "finished"
	})
}
