package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	ours "github.com/postern-dev/postern/client"
)

// clientDriver calls every method of package client: what one story made, those
// after it use.
type clientDriver struct {
	*ours.Client
	t             *testing.T
	url, receiver string
	// app has the endpoints ok and fail, and delivers to them; message was sent
	// to both, other to fail alone and is retried. attempt is one of message's.
	app, ok, fail, message, other, attempt string
}

// noOne is no object's id or uid.
const noOne = "client-nobody"

// driveClient is the driver of package client.
func driveClient(t *testing.T, r *recorder, receiver string) {
	d := &clientDriver{t: t, url: r.URL, receiver: receiver}
	d.Client = d.with(adminKey)
	d.server()
	d.applications()
	d.eventTypes()
	d.endpoints()
	d.messages()
	d.attempts()
	d.leases()
	d.replays()
	d.sources()
	d.keys()
	d.visits()
	d.tail()
	d.contents()
}

// with is a client with another key.
func (d *clientDriver) with(key string) *ours.Client {
	d.t.Helper()
	c, err := ours.New(ours.Options{URL: d.url, Key: key})
	d.does(err)
	return c
}

// does ends the test unless a call succeeded.
func (d *clientDriver) does(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

// refuses ends the test unless a call was refused in this way.
func (d *clientDriver) refuses(err, want error) {
	d.t.Helper()
	if !errors.Is(err, want) {
		d.t.Fatalf("got %v, want %v", err, want)
	}
}

// errorOf is the error of a call whose other result does not matter.
func errorOf[T any](_ T, err error) error { return err }

// walk is the error of walking a list.
func walk[T any](list iter.Seq2[T, error]) error {
	for _, err := range list {
		if err != nil {
			return err
		}
	}
	return nil
}

// long is more than a page may hold.
func long() ours.Page { return ours.Page{Limit: 251} }

func (d *clientDriver) server() {
	ctx := d.t.Context()
	d.does(errorOf(d.Health(ctx)))
	d.does(errorOf(d.Limits(ctx)))
	d.does(errorOf(d.Nodes(ctx)))
}

func (d *clientDriver) applications() {
	ctx, api := d.t.Context(), d.Applications
	in := ours.ApplicationIn{Name: "Client", UID: "client-app"}
	app, err := api.Create(ctx, in)
	d.does(err)
	d.app = app.ID.String()
	d.refuses(errorOf(api.Create(ctx, in)), postern.ErrConflict)
	d.does(errorOf(api.GetOrCreate(ctx, in)))
	d.does(errorOf(api.Get(ctx, d.app)))
	d.refuses(errorOf(api.Get(ctx, noOne)), postern.ErrNotFound)
	d.does(errorOf(api.List(ctx, ours.Page{Order: ours.Descending})))
	d.refuses(errorOf(api.List(ctx, long())), postern.ErrInvalid)
	d.does(walk(api.All(ctx, ours.Page{})))
	d.does(errorOf(api.Put(ctx, "client-app", in)))
	d.does(errorOf(api.Put(ctx, "client-upserted", ours.ApplicationIn{Name: "Client", UID: "client-upserted"})))
	d.refuses(errorOf(api.Put(ctx, "client-app", ours.ApplicationIn{})), postern.ErrInvalid)
	d.does(errorOf(api.Patch(ctx, d.app, ours.Patch{"name": "Client again"})))
	d.refuses(errorOf(api.Patch(ctx, d.app, ours.Patch{"uid": "client-upserted"})), postern.ErrConflict)
	d.does(api.Delete(ctx, "client-upserted"))
	d.refuses(api.Delete(ctx, "client-upserted"), postern.ErrNotFound)
}

func (d *clientDriver) eventTypes() {
	ctx, api := d.t.Context(), d.EventTypes
	in := ours.EventTypeIn{Name: "client.paid", Description: "Paid.", Schemas: map[string]json.RawMessage{"1": json.RawMessage(`{"type":"object"}`)}}
	d.does(errorOf(api.Create(ctx, in)))
	d.refuses(errorOf(api.Create(ctx, in)), postern.ErrConflict)
	d.does(errorOf(api.Get(ctx, "client.paid")))
	d.refuses(errorOf(api.Get(ctx, "client.nothing")), postern.ErrNotFound)
	d.does(errorOf(api.List(ctx, ours.Page{})))
	d.refuses(errorOf(api.List(ctx, long())), postern.ErrInvalid)
	d.does(walk(api.All(ctx, ours.Page{})))
	d.does(errorOf(api.Put(ctx, "client.paid", ours.EventTypeIn{Description: "Paid up."})))
	d.does(errorOf(api.Put(ctx, "client.upserted", ours.EventTypeIn{Description: "Made by a PUT."})))
	d.refuses(errorOf(api.Put(ctx, "client.paid", ours.EventTypeIn{})), postern.ErrInvalid)
	d.does(errorOf(api.Patch(ctx, "client.paid", ours.Patch{"deprecated": true})))
	d.refuses(errorOf(api.Patch(ctx, "client.nothing", ours.Patch{"deprecated": true})), postern.ErrNotFound)
	d.does(api.SetRetrySchedule(ctx, "client.paid", []float64{1, 2}))
	d.refuses(api.SetRetrySchedule(ctx, "client.paid", []float64{-1}), postern.ErrInvalid)
	d.does(errorOf(api.RetrySchedule(ctx, "client.paid")))
	d.refuses(errorOf(api.RetrySchedule(ctx, "client.nothing")), postern.ErrNotFound)
	d.does(api.Archive(ctx, "client.upserted"))
	d.does(api.Delete(ctx, "client.upserted"))
	d.refuses(api.Delete(ctx, "client.upserted"), postern.ErrNotFound)
}

func (d *clientDriver) endpoints() {
	ctx, api := d.t.Context(), d.Endpoints
	in := ours.EndpointIn{URL: d.receiver + "/ok", UID: "client-ok", EventTypes: []string{"client.paid"}}
	ok, err := api.Create(ctx, d.app, in)
	d.does(err)
	failing, err := api.Create(ctx, d.app, ours.EndpointIn{URL: d.receiver + "/fail"})
	d.does(err)
	d.ok, d.fail = ok.ID.String(), failing.ID.String()
	d.refuses(errorOf(api.Create(ctx, d.app, in)), postern.ErrConflict)
	d.does(errorOf(api.Get(ctx, d.app, "client-ok")))
	d.refuses(errorOf(api.Get(ctx, d.app, noOne)), postern.ErrNotFound)
	d.does(errorOf(api.List(ctx, d.app, ours.Page{})))
	d.refuses(errorOf(api.List(ctx, d.app, long())), postern.ErrInvalid)
	d.does(walk(api.All(ctx, d.app, ours.Page{})))
	d.does(errorOf(api.Put(ctx, d.app, "client-ok", in)))
	d.does(errorOf(api.Put(ctx, d.app, "client-upserted", ours.EndpointIn{URL: d.receiver, UID: "client-upserted"})))
	d.refuses(errorOf(api.Put(ctx, d.app, "client-ok", ours.EndpointIn{URL: "not a url"})), postern.ErrInvalid)
	d.does(errorOf(api.Patch(ctx, d.app, d.ok, ours.Patch{"description": "Answers 200."})))
	d.refuses(errorOf(api.Patch(ctx, d.app, d.ok, ours.Patch{"uid": "client-upserted"})), postern.ErrConflict)
	d.does(api.Delete(ctx, d.app, "client-upserted"))
	d.refuses(api.Delete(ctx, d.app, "client-upserted"), postern.ErrNotFound)
	d.does(errorOf(api.Pause(ctx, d.app, d.ok)))
	d.refuses(errorOf(api.Pause(ctx, d.app, noOne)), postern.ErrNotFound)
	d.does(errorOf(api.Resume(ctx, d.app, d.ok)))
	d.refuses(errorOf(api.Resume(ctx, d.app, noOne)), postern.ErrNotFound)
	d.does(errorOf(api.Secret(ctx, d.app, d.ok)))
	d.refuses(errorOf(api.Secret(ctx, d.app, noOne)), postern.ErrNotFound)
	d.does(api.SetHeaders(ctx, d.app, d.ok, map[string]string{"X-Client": "1"}))
	d.refuses(api.SetHeaders(ctx, d.app, d.ok, map[string]string{"X Client": "1"}), postern.ErrInvalid)
	d.does(api.PatchHeaders(ctx, d.app, d.ok, ours.Patch{"X-Client": nil}))
	d.refuses(api.PatchHeaders(ctx, d.app, noOne, ours.Patch{"X-Client": nil}), postern.ErrNotFound)
	d.does(errorOf(api.Headers(ctx, d.app, d.ok)))
	d.refuses(errorOf(api.Headers(ctx, d.app, noOne)), postern.ErrNotFound)
	grace := 8 * 24 * time.Hour
	d.does(api.RotateSecret(ctx, d.app, d.ok, ours.Rotation{}))
	d.refuses(api.RotateSecret(ctx, d.app, d.ok, ours.Rotation{Grace: &grace}), postern.ErrInvalid)
}

func (d *clientDriver) messages() {
	ctx, api := d.t.Context(), d.Messages
	// So short a wait ends with the first tries.
	in := ours.MessageIn{EventType: "client.paid", EventID: "client-event", Payload: json.RawMessage(`{"amount": 1.0}`), Wait: 2 * time.Second}
	message, err := api.Create(ctx, d.app, in)
	d.does(err)
	other, err := api.Create(ctx, d.app, ours.MessageIn{EventType: "client.other", Text: "<other/>", ContentType: "text/xml", Wait: 2 * time.Second})
	d.does(err)
	if len(message.Deliveries) != 2 || len(other.Deliveries) != 1 {
		d.t.Fatalf("deliveries: %+v, %+v", message.Deliveries, other.Deliveries)
	}
	d.message, d.other = message.ID.String(), other.ID.String()
	d.refuses(errorOf(api.Create(ctx, d.app, in)), postern.ErrConflict)
	d.does(errorOf(api.Get(ctx, d.app, "client-event")))
	d.refuses(errorOf(api.Get(ctx, d.app, noOne)), postern.ErrNotFound)
	d.does(errorOf(api.List(ctx, d.app, ours.History{WithoutContent: true})))
	d.refuses(errorOf(api.List(ctx, d.app, ours.History{Page: long()})), postern.ErrInvalid)
	d.does(walk(api.All(ctx, d.app, ours.History{})))
	payload, contentType, err := api.Raw(ctx, d.app, d.other)
	d.does(err)
	if string(payload) != "<other/>" || !strings.HasPrefix(contentType, "text/xml") {
		d.t.Fatalf("%s: %s", contentType, payload)
	}
	_, _, err = api.Raw(ctx, d.app, noOne)
	d.refuses(err, postern.ErrNotFound)
	d.does(api.Resend(ctx, d.app, d.message, d.ok))
	d.refuses(api.Resend(ctx, d.app, d.message, noOne), postern.ErrNotFound)
	d.does(api.Cancel(ctx, d.app, d.other, d.fail))
	d.refuses(api.Cancel(ctx, d.app, d.other, d.fail), postern.ErrConflict)
	d.does(errorOf(d.Endpoints.SendExample(ctx, d.app, d.ok, ours.Example{EventType: "svix.ping"})))
	d.refuses(errorOf(d.Endpoints.SendExample(ctx, d.app, d.ok, ours.Example{EventType: "client.nothing"})), postern.ErrNotFound)
	d.standings()
}

// standings are what has become of messages at endpoints, and why.
func (d *clientDriver) standings() {
	ctx, api := d.t.Context(), d.Messages
	d.does(walk(api.Endpoints(ctx, d.app, d.message, ours.Page{})))
	d.refuses(walk(api.Endpoints(ctx, d.app, noOne, ours.Page{})), postern.ErrNotFound)
	d.does(walk(d.Endpoints.Messages(ctx, d.app, d.ok, ours.EndpointMessageFilter{Status: "success"})))
	d.refuses(walk(d.Endpoints.Messages(ctx, d.app, d.ok, ours.EndpointMessageFilter{Status: "lost"})), postern.ErrInvalid)
	d.does(errorOf(api.Explain(ctx, d.app, d.message, ours.Page{})))
	d.refuses(errorOf(api.Explain(ctx, d.app, noOne, ours.Page{})), postern.ErrNotFound)
	d.does(errorOf(api.Precheck(ctx, d.app, "client.paid", nil)))
	d.refuses(errorOf(api.Precheck(ctx, d.app, "client.paid", []string{})), postern.ErrInvalid)
	d.does(errorOf(d.Applications.Stats(ctx, d.app, ours.StatsFilter{Bucket: time.Hour})))
	d.refuses(errorOf(d.Applications.Stats(ctx, d.app, ours.StatsFilter{Bucket: time.Second})), postern.ErrInvalid)
	d.does(errorOf(d.Endpoints.Stats(ctx, d.app, d.ok, ours.Span{})))
	d.refuses(errorOf(d.Endpoints.Stats(ctx, d.app, d.ok, ours.Span{Since: time.Now().AddDate(0, 0, -29)})), postern.ErrInvalid)
}

func (d *clientDriver) attempts() {
	ctx, api := d.t.Context(), d.Attempts
	for made, err := range api.OfMessage(ctx, d.app, d.message, ours.History{}) {
		d.does(err)
		d.attempt = made.ID.String()
	}
	d.refuses(walk(api.OfMessage(ctx, d.app, noOne, ours.History{})), postern.ErrNotFound)
	d.does(walk(api.AtEndpoint(ctx, d.app, d.ok, ours.History{})))
	d.refuses(walk(api.AtEndpoint(ctx, d.app, d.ok, ours.History{Page: long()})), postern.ErrInvalid)
	d.does(errorOf(api.Get(ctx, d.app, d.message, d.attempt)))
	d.refuses(errorOf(api.Get(ctx, d.app, d.message, noOne)), postern.ErrNotFound)

	retrying := ours.DeliveryFilter{State: "retrying", Endpoint: d.fail}
	d.does(errorOf(d.Deliveries.List(ctx, d.app, retrying)))
	d.refuses(errorOf(d.Deliveries.List(ctx, d.app, ours.DeliveryFilter{State: "lost"})), postern.ErrInvalid)
	d.does(walk(d.Deliveries.All(ctx, d.app, retrying)))
}

// leases are a consumer's, of a pull endpoint of its own application.
func (d *clientDriver) leases() {
	ctx, api := d.t.Context(), d.Leases
	app, err := d.Applications.Create(ctx, ours.ApplicationIn{Name: "Client", UID: "client-pulls"})
	d.does(err)
	at := app.ID.String()
	worker, err := d.Endpoints.Create(ctx, at, ours.EndpointIn{Kind: "pull", UID: "client-worker"})
	d.does(err)
	for range 4 {
		d.does(errorOf(d.Messages.Create(ctx, at, ours.MessageIn{EventType: "client.paid", Payload: json.RawMessage("{}")})))
	}
	var held [4]postern.LeaseID
	for i := range held {
		leases, err := api.Create(ctx, at, worker.ID.String(), ours.LeaseIn{Limit: 1, Wait: 20 * time.Second})
		d.does(err)
		if len(leases) != 1 || string(leases[0].Payload) != "{}" || leases[0].Message.EventType != "client.paid" {
			d.t.Fatalf("leases: %+v", leases)
		}
		held[i] = leases[0].ID
	}
	d.refuses(errorOf(api.Create(ctx, d.app, d.ok, ours.LeaseIn{})), postern.ErrConflict) // it is sent to
	_, missing, err := api.Extend(ctx, at, "client-worker", time.Minute, held[:]...)
	d.does(err)
	_, _, err = api.Extend(ctx, at, "client-worker", 2*time.Hour, held[:]...)
	d.refuses(err, postern.ErrInvalid)
	for i, end := range []func() ([]postern.LeaseID, error){
		func() ([]postern.LeaseID, error) { return api.Ack(ctx, at, "client-worker", held[0]) },
		func() ([]postern.LeaseID, error) {
			return api.Nack(ctx, at, "client-worker", postern.Nack{Delay: time.Hour, Error: "busy"}, held[1])
		},
		func() ([]postern.LeaseID, error) {
			return api.Nack(ctx, at, "client-worker", postern.Nack{Permanent: true}, held[2])
		},
		func() ([]postern.LeaseID, error) { return api.Release(ctx, at, "client-worker", held[3]) },
	} {
		gone, err := end()
		d.does(err)
		again, err := end()
		d.does(err)
		if len(missing)+len(gone) != 0 || len(again) != 1 || again[0] != held[i] {
			d.t.Fatalf("lease %d: missing %v, then %v", i, gone, again)
		}
	}
	d.refuses(errorOf(api.Ack(ctx, at, noOne, held[0])), postern.ErrNotFound)
	d.refuses(errorOf(api.Nack(ctx, at, "client-worker", postern.Nack{})), postern.ErrInvalid)
	d.refuses(errorOf(api.Release(ctx, d.app, d.ok, held[3])), postern.ErrConflict)
}

func (d *clientDriver) replays() {
	ctx, api := d.t.Context(), d.Replays
	// At this rate it does not finish before it is canceled.
	in := ours.ReplayIn{Endpoint: d.ok, Status: "all", Since: time.Now().Add(-time.Hour), Rate: 1}
	for range 3 {
		d.does(errorOf(d.Messages.Create(ctx, d.app, ours.MessageIn{EventType: "client.paid", Payload: json.RawMessage("{}")})))
	}
	d.does(errorOf(api.Preview(ctx, d.app, in)))
	d.refuses(errorOf(api.Preview(ctx, d.app, ours.ReplayIn{})), postern.ErrInvalid)
	replay, err := api.Create(ctx, d.app, in)
	d.does(err)
	id := replay.ID.String()
	d.refuses(errorOf(api.Create(ctx, d.app, ours.ReplayIn{Endpoint: noOne, Since: in.Since})), postern.ErrInvalid)
	d.does(errorOf(api.Get(ctx, d.app, id)))
	d.refuses(errorOf(api.Get(ctx, d.app, noOne)), postern.ErrNotFound)
	d.does(walk(api.All(ctx, d.app, ours.Page{})))
	d.refuses(walk(api.All(ctx, d.app, long())), postern.ErrInvalid)
	d.does(errorOf(api.Pause(ctx, d.app, id)))
	d.does(errorOf(api.Resume(ctx, d.app, id)))
	d.does(errorOf(api.Cancel(ctx, d.app, id)))
	d.refuses(errorOf(api.Pause(ctx, d.app, id)), postern.ErrConflict)
	d.refuses(errorOf(api.Resume(ctx, d.app, id)), postern.ErrConflict)
	d.refuses(errorOf(api.Cancel(ctx, d.app, noOne)), postern.ErrNotFound)

	span, long := ours.Span{Since: in.Since}, ours.Span{Since: time.Now().AddDate(0, 0, -15)}
	d.does(errorOf(d.Endpoints.Recover(ctx, d.app, d.fail, span)))
	d.refuses(errorOf(d.Endpoints.Recover(ctx, d.app, d.fail, long)), postern.ErrInvalid)
	d.does(errorOf(d.Endpoints.ReplayMissing(ctx, d.app, d.ok, span)))
	d.refuses(errorOf(d.Endpoints.ReplayMissing(ctx, d.app, noOne, span)), postern.ErrNotFound)
	d.does(errorOf(d.Endpoints.BulkReplay(ctx, d.app, d.ok, ours.BulkReplayIn{Span: span, Status: "fail"})))
	d.refuses(errorOf(d.Endpoints.BulkReplay(ctx, d.app, d.ok, ours.BulkReplayIn{Span: span, Status: "lost"})), postern.ErrInvalid)
}

func (d *clientDriver) sources() {
	ctx, api := d.t.Context(), d.Sources
	in := ours.SourceIn{Name: "Client", UID: "client-source", Provider: "github", Secrets: []string{"client-secret"}}
	source, err := api.Create(ctx, d.app, in)
	d.does(err)
	d.refuses(errorOf(api.Create(ctx, d.app, in)), postern.ErrConflict)
	d.does(errorOf(api.Get(ctx, d.app, "client-source")))
	d.refuses(errorOf(api.Get(ctx, d.app, noOne)), postern.ErrNotFound)
	d.does(errorOf(api.List(ctx, d.app, ours.Page{})))
	d.refuses(errorOf(api.List(ctx, d.app, long())), postern.ErrInvalid)
	d.does(walk(api.All(ctx, d.app, ours.Page{})))
	d.does(errorOf(api.Put(ctx, d.app, "client-source", in)))
	d.refuses(errorOf(api.Put(ctx, d.app, "client-source", ours.SourceIn{})), postern.ErrInvalid)
	d.does(errorOf(api.Patch(ctx, d.app, "client-source", ours.Patch{"eventTypePrefix": "client."})))
	d.refuses(errorOf(api.Patch(ctx, d.app, noOne, ours.Patch{"name": "Client"})), postern.ErrNotFound)
	d.does(errorOf(api.Secret(ctx, d.app, "client-source")))
	d.refuses(errorOf(api.Secret(ctx, d.app, noOne)), postern.ErrNotFound)
	d.does(api.RotateSecret(ctx, d.app, "client-source", "client-secret-2"))
	d.refuses(api.RotateSecret(ctx, d.app, "client-source", ""), postern.ErrInvalid)

	d.forge(source.IngestURL)
	var refusal string
	for refused, err := range d.Refusals.All(ctx, d.app, "client-source", ours.Page{}) {
		d.does(err)
		refusal = refused.ID.String()
	}
	d.refuses(walk(d.Refusals.All(ctx, d.app, noOne, ours.Page{})), postern.ErrNotFound)
	d.does(errorOf(d.Refusals.Get(ctx, d.app, "client-source", refusal)))
	d.refuses(errorOf(d.Refusals.Get(ctx, d.app, "client-source", noOne)), postern.ErrNotFound)
	d.does(errorOf(d.Refusals.Verify(ctx, d.app, "client-source", refusal)))
	d.refuses(errorOf(d.Refusals.Verify(ctx, d.app, "client-source", noOne)), postern.ErrNotFound)
	d.does(errorOf(d.Refusals.Release(ctx, d.app, "client-source", refusal)))
	d.does(errorOf(d.Refusals.Release(ctx, d.app, "client-source", refusal)))
	d.refuses(errorOf(d.Refusals.Release(ctx, d.app, "client-source", noOne)), postern.ErrNotFound)

	d.does(errorOf(api.Pause(ctx, d.app, "client-source")))
	d.refuses(errorOf(api.Pause(ctx, d.app, noOne)), postern.ErrNotFound)
	d.does(errorOf(api.Resume(ctx, d.app, "client-source")))
	d.refuses(errorOf(api.Resume(ctx, d.app, noOne)), postern.ErrNotFound)
	d.does(api.Delete(ctx, d.app, "client-source"))
	d.refuses(api.Delete(ctx, d.app, "client-source"), postern.ErrNotFound)
}

// forge sends a source what its provider did not sign.
func (d *clientDriver) forge(ingestURL string) {
	d.t.Helper()
	forged, err := http.NewRequestWithContext(d.t.Context(), http.MethodPost, ingestURL, strings.NewReader("{}"))
	d.does(err)
	forged.Header.Set("X-Hub-Signature-256", "sha256=00")
	answer, err := http.DefaultClient.Do(forged)
	d.does(err)
	defer answer.Body.Close()
	if answer.StatusCode < 400 {
		d.t.Fatalf("a forged request is answered %d", answer.StatusCode)
	}
}

func (d *clientDriver) keys() {
	ctx, api := d.t.Context(), d.Keys
	key, err := api.Create(ctx, ours.KeyIn{Name: "client", Scope: postern.ScopeReadOnly, Application: d.app})
	d.does(err)
	id := key.ID.String()
	d.refuses(errorOf(api.Create(ctx, ours.KeyIn{Name: "client", Scope: "everything"})), postern.ErrInvalid)
	d.does(errorOf(api.Get(ctx, id)))
	d.refuses(errorOf(api.Get(ctx, noOne)), postern.ErrNotFound)
	d.does(walk(api.All(ctx, ours.Page{})))
	d.refuses(walk(api.All(ctx, long())), postern.ErrInvalid)
	d.does(api.Delete(ctx, id))
	d.refuses(api.Delete(ctx, id), postern.ErrNotFound)
	publisher, err := api.Create(ctx, ours.KeyIn{Name: "client", Scope: postern.ScopePublishOnly, Application: d.app})
	d.does(err)
	d.refuses(errorOf(d.with(publisher.Token).Limits(ctx)), postern.ErrForbidden)
	d.refuses(errorOf(d.with(publisher.Token).Nodes(ctx)), postern.ErrForbidden)
}

func (d *clientDriver) visits() {
	ctx, api := d.t.Context(), d.Portal
	access, err := api.Open(ctx, d.app, ours.Visit{Session: "client"})
	d.does(err)
	d.refuses(errorOf(api.Open(ctx, d.app, ours.Visit{Lasts: time.Minute})), postern.ErrInvalid)
	d.does(errorOf(api.OpenDashboard(ctx, d.app)))
	d.refuses(errorOf(api.OpenDashboard(ctx, noOne)), postern.ErrNotFound)
	d.does(d.with(access.Token).Portal.Logout(ctx))
	d.refuses(api.Logout(ctx), postern.ErrForbidden)
	d.does(api.ExpireAll(ctx, d.app, ours.Expiry{}))
	d.refuses(api.ExpireAll(ctx, noOne, ours.Expiry{}), postern.ErrNotFound)
}

// tail is heard until it tells of a message, and then from behind that.
func (d *clientDriver) tail() {
	ctx, cancel := context.WithTimeout(d.t.Context(), patience)
	defer cancel()
	published := make(chan error, 1)
	listens := sync.OnceFunc(func() { // the answer begins once the server does
		go func() {
			published <- errorOf(d.Messages.Create(ctx, d.app, ours.MessageIn{EventType: "client.told", Payload: json.RawMessage("{}")}))
		}()
	})
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotFirstResponseByte: listens})
	var after string
	for event, err := range d.Tail(traced, ours.TailFilter{Application: d.app, EventTypes: []string{"client.told"}}) {
		d.does(err)
		if event.Message != nil {
			after = event.ID
			break
		}
	}
	d.does(<-published)
	for event, err := range d.Tail(ctx, ours.TailFilter{Application: d.app, EventTypes: []string{"client.told"}, After: after}) {
		d.does(err)
		if event.Attempt == nil { // of the message
			d.t.Fatalf("behind the message comes %+v", event)
		}
		break
	}
	for _, err := range d.Tail(ctx, ours.TailFilter{Application: noOne}) {
		d.refuses(err, postern.ErrNotFound)
	}
}

// contents are taken out of the history, at once and over time.
func (d *clientDriver) contents() {
	ctx := d.t.Context()
	d.does(d.Messages.Expunge(ctx, d.app, d.message))
	d.refuses(d.Messages.Expunge(ctx, d.app, noOne), postern.ErrNotFound)
	d.does(d.Attempts.Expunge(ctx, d.app, d.message, d.attempt))
	d.refuses(d.Attempts.Expunge(ctx, d.app, d.message, noOne), postern.ErrNotFound)
	d.does(errorOf(d.Messages.ExpungeSeveral(ctx, d.app, []string{d.other, noOne})))
	d.refuses(errorOf(d.Messages.ExpungeSeveral(ctx, d.app, make([]string, 101))), postern.ErrInvalid)
	task, err := d.Messages.ExpungeAll(ctx, d.app)
	d.does(err)
	d.refuses(errorOf(d.Messages.ExpungeAll(ctx, noOne)), postern.ErrNotFound)
	await(d.t, "the end of the task", func() bool {
		task, err = d.Tasks.Get(ctx, task.ID.String())
		d.does(err)
		return task.Status == "finished"
	})
	d.refuses(errorOf(d.Tasks.Get(ctx, noOne)), postern.ErrNotFound)
	d.does(walk(d.Tasks.All(ctx, task.Task, ours.Page{})))
	d.refuses(walk(d.Tasks.All(ctx, "", long())), postern.ErrInvalid)
}
