package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/postern-dev/postern/sign"
)

// story is one run through everything: each step does what a user would, over
// HTTP, and returns an error where it does not come out as it should.
type story struct {
	api      *caller
	receiver *receiver
	told     *narrator
	report   *demoReport
	// secret is what GitHub and the source share.
	secret string
	// arrivals is written by the receiver and read by the story.
	arrivals chan *arrival
	// received are those that were read, in their order.
	received []*arrival
	inbound  string // the source's address
}

// The endpoints of the story: one always answers 200, the other 500 first.
const (
	steady = "steady"
	shaky  = "shaky"
)

// pollEvery is how often the story asks the API for what is about to be so.
const pollEvery = 10 * time.Millisecond

// newStory makes a story that has not begun. Its receiver is for the caller to
// serve, before tell is called.
func newStory(api *caller, told *narrator, report *demoReport) *story {
	st := &story{api: api, told: told, report: report, secret: "it's a secret to everybody", arrivals: make(chan *arrival, 64)}
	var failed atomic.Bool
	st.receiver = &receiver{
		answer: func(a *arrival) int {
			if a.Path == "/"+shaky && !failed.Swap(true) {
				return http.StatusInternalServerError
			}
			return http.StatusOK
		},
		arrived: func(a *arrival) {
			select {
			case st.arrivals <- a:
			default: // many more than the story has room for: it has failed anyhow
			}
		},
	}
	return st
}

// tell runs the steps; the endpoints' URLs begin with receiverURL.
func (st *story) tell(ctx context.Context, receiverURL string) error {
	st.report.Server = st.api.url
	st.told.line("A server with a store in a temporary folder:  %s", st.api.url)
	st.told.line("A receiver that checks signatures:            %s", receiverURL)
	st.told.line("")
	if err := st.setUp(ctx, receiverURL); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{st.receive, st.refuse, st.deliver, st.lookBack} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// setUp makes an application, a source and two endpoints, and gives the
// receiver their secrets.
func (st *story) setUp(ctx context.Context, receiverURL string) error {
	var app struct{ ID string }
	if err := st.api.call(ctx, http.MethodPost, "/app", map[string]any{"name": "Demo", "uid": "demo"}, &app); err != nil {
		return err
	}
	st.report.ApplicationID = app.ID
	st.told.line("application  %s", app.ID)
	var source struct{ ID, Provider, IngestURL string }
	if err := st.api.call(ctx, http.MethodPost, "/app/demo/source", map[string]any{
		"name": "GitHub", "uid": "github", "provider": "github", "secrets": []string{st.secret},
	}, &source); err != nil {
		return err
	}
	st.inbound = source.IngestURL
	st.report.Source = demoSource{source.ID, source.Provider}
	st.told.line("source       %s  takes what GitHub signs", source.ID)
	keys := map[string]sign.Key{}
	for _, uid := range []string{steady, shaky} {
		endpoint, key, err := makeEndpoint(ctx, st.api, uid, receiverURL+"/"+uid)
		if err != nil {
			return err
		}
		keys["/"+uid] = key
		st.report.Endpoints = append(st.report.Endpoints, endpoint)
		st.told.line("endpoint     %s  %s", endpoint.ID, map[string]string{
			steady: "steady: answers 200", shaky: "shaky: answers 500 at first, then 200",
		}[uid])
	}
	st.receiver.use(keys)
	return nil
}

// makeEndpoint makes an endpoint of the application demo and reads its secret.
func makeEndpoint(ctx context.Context, api *caller, uid, url string) (demoEndpoint, sign.Key, error) {
	var endpoint demoEndpoint
	if err := api.call(ctx, http.MethodPost, "/app/demo/endpoint", map[string]any{"uid": uid, "url": url}, &endpoint); err != nil {
		return endpoint, sign.Key{}, err
	}
	key, err := endpointKey(ctx, api, uid)
	return endpoint, key, err
}

// endpointKey reads an endpoint's secret, as its receiver needs it.
func endpointKey(ctx context.Context, api *caller, uid string) (sign.Key, error) {
	var secret struct{ Key string }
	if err := api.call(ctx, http.MethodGet, "/app/demo/endpoint/"+uid+"/secret", nil, &secret); err != nil {
		return sign.Key{}, err
	}
	return sign.ParseKey(secret.Key)
}

// receive sends a push event that is signed as GitHub documents it.
func (st *story) receive(ctx context.Context) error {
	status, answer, err := st.push(ctx, []byte(push), githubSignature(st.secret, []byte(push)))
	if err != nil {
		return err
	}
	st.report.Received = demoReceived{Status: status, MessageID: answer.ID}
	if err := expect("a push event that GitHub signed is answered", http.StatusAccepted, status); err != nil {
		return err
	}
	var message struct{ ID, EventType, ProviderEventType string }
	if err := st.api.call(ctx, http.MethodGet, "/app/demo/msg/"+answer.ID, nil, &message); err != nil {
		return err
	}
	st.report.Received.EventType = message.EventType
	st.told.line("")
	st.told.line("push event from GitHub         -> %d, stored as %s, event type %s", status, answer.ID, message.EventType)
	return expect("the event type of a push event is", "push", message.EventType)
}

// refuse sends the same request with one letter changed, and asks the source
// why it was refused.
func (st *story) refuse(ctx context.Context) error {
	tampered := []byte(push)
	tampered[len(tampered)-3] = '!'
	status, _, err := st.push(ctx, tampered, githubSignature(st.secret, []byte(push)))
	if err != nil {
		return err
	}
	st.report.Refused.Status = status
	if err := expect("a push event that was changed on its way is answered", http.StatusUnauthorized, status); err != nil {
		return err
	}
	var list struct {
		Data []struct{ ID, Reason, Detail string }
	}
	if err := st.api.call(ctx, http.MethodGet, "/app/demo/source/github/refusal", nil, &list); err != nil {
		return err
	}
	if err := expect("the number of refusals is", 1, len(list.Data)); err != nil {
		return err
	}
	refusal := list.Data[0]
	st.report.Refused = demoRefused{status, refusal.ID, refusal.Reason, refusal.Detail}
	st.told.line("the same with a letter changed -> %d, kept as %s", status, refusal.ID)
	st.told.line("    %s: %s", refusal.Reason, refusal.Detail)
	st.told.line("")
	return expect("the reason of the refusal is", "signature_mismatch", refusal.Reason)
}

// push sends a push event to the source.
func (st *story) push(ctx context.Context, body []byte, signature string) (status int, answer struct{ ID string }, err error) {
	req, err := githubRequest(ctx, st.inbound, "push", "72d3162e-cc78-11e3-81ab-4c9367dc0958", body, signature)
	if err != nil {
		return 0, answer, err
	}
	status, text, err := send(st.api.client, req)
	if err != nil {
		return 0, answer, err
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return status, answer, fmt.Errorf("the source answered %d with what is not JSON: %w", status, err)
	}
	return status, answer, nil
}

// deliver waits until both endpoints have the message, the shaky one after it
// has failed, and looks at each delivery: the signature, the id and the bytes.
func (st *story) deliver(ctx context.Context) error {
	for !slices.Equal(st.codes("/"+steady), []int{200}) || !slices.Equal(st.codes("/"+shaky), []int{500, 200}) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("the deliveries: expected 200 from %s, and 500 then 200 from %s, got %v and %v",
				steady, shaky, st.codes("/"+steady), st.codes("/"+shaky))
		case a := <-st.arrivals:
			st.received = append(st.received, a)
			if a.Signature != nil {
				return fmt.Errorf("the delivery to %s: expected a right signature: %w", a.Path, a.Signature)
			}
			st.told.line("%s delivery to %-7s -> %d, signature verified", a.At.Format("15:04:05.000"), a.Path[1:], a.Status)
			if err := expect("the delivered message is", st.report.Received.MessageID, a.MessageID()); err != nil {
				return err
			}
			if err := expect("the delivered bytes are", push, string(a.Body)); err != nil {
				return err
			}
			if len(st.received) > 3 {
				return fmt.Errorf("the deliveries: expected 3, got one more to %s", a.Path[1:])
			}
		}
	}
	return nil
}

// codes are the answers that the receiver has given on a path.
func (st *story) codes(path string) (codes []int) {
	for _, a := range st.received {
		if a.Path == path {
			codes = append(codes, a.Status)
		}
	}
	return codes
}

// lookBack reads the deliveries from the API, once the last answer is settled,
// and compares them with what the receiver saw.
func (st *story) lookBack(ctx context.Context) error {
	if err := st.settled(ctx); err != nil {
		return err
	}
	st.told.line("")
	st.told.line("What the API says of %s:", st.report.Received.MessageID)
	for i := range st.report.Deliveries {
		d := &st.report.Deliveries[i]
		var list struct{ Data []demoAttempt }
		path := "/app/demo/attempt/msg/" + st.report.Received.MessageID + "?order=ascending&with_content=false&endpoint_id=" + d.EndpointID
		if err := st.api.call(ctx, http.MethodGet, path, nil, &list); err != nil {
			return err
		}
		d.Attempts = list.Data
		var codes []int
		for j := range d.Attempts {
			a := &d.Attempts[j]
			a.SignatureVerified = true // deliver has seen to it for each
			codes = append(codes, a.ResponseStatusCode)
			st.told.line("  %-7s %-9s  attempt %d  %s  at %s  %d", d.EndpointUID, a.State, a.Number, a.ID, a.Timestamp.Local().Format("15:04:05.000"), a.ResponseStatusCode)
		}
		if seen := st.codes("/" + d.EndpointUID); !slices.Equal(codes, seen) {
			return fmt.Errorf("the attempts at %s: expected %v as the receiver answered, got %v", d.EndpointUID, seen, codes)
		}
	}
	return nil
}

// settled waits until the API has both deliveries as delivered: the last
// answer is given a moment before it is on disk.
func (st *story) settled(ctx context.Context) error {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		var list struct {
			Data []struct{ UID, State string }
		}
		if err := st.api.call(ctx, http.MethodGet, "/app/demo/msg/"+st.report.Received.MessageID+"/endpoint", nil, &list); err != nil {
			return err
		}
		delivered := 0
		for _, e := range list.Data {
			if e.State == "delivered" {
				delivered++
			}
		}
		if delivered == len(st.report.Endpoints) {
			for _, e := range st.report.Endpoints {
				st.report.Deliveries = append(st.report.Deliveries, demoDelivery{EndpointID: e.ID, EndpointUID: e.UID, State: "delivered"})
			}
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("the deliveries: expected both to be delivered, got %+v", list.Data)
		}
	}
}

// expect compares one outcome with what it should be.
func expect[T comparable](what string, want, got T) error {
	if want == got {
		return nil
	}
	return fmt.Errorf("%s: expected %v, got %v", what, want, got)
}
