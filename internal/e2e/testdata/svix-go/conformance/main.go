// Command conformance calls every method of Svix's Go SDK whose operation the
// server has: once for a success, once for a refusal of the operation's own.
// It ends at the first answer that is not what it expects, or that the SDK
// cannot read, and says where. SVIX_SERVER_URL and SVIX_TOKEN, an admin's, say
// which server; RECEIVER_URL is a receiver that answers 200 below /ok and 500
// below /fail.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/url"
	"os"
	"strings"
	"time"

	svix "github.com/svix/svix-webhooks/go"
	"github.com/svix/svix-webhooks/go/models"
)

// nobody is no object's id or uid.
const nobody = "go-nobody"

// patience bounds the wait for what the server does on its own.
const patience = 20 * time.Second

// driver tells one story after the other; what an earlier one made, later ones
// use.
type driver struct {
	*svix.Svix
	ctx      context.Context
	server   *url.URL
	receiver string
	// app is an application's id, and delivers to the endpoints ok and fail.
	app, ok, fail string
	// message was sent to both, and attempt is one at ok.
	message, attempt string
}

func main() {
	log.SetFlags(log.Lshortfile)
	server, err := url.Parse(os.Getenv("SVIX_SERVER_URL"))
	done(err)
	d := &driver{ctx: context.Background(), server: server, receiver: os.Getenv("RECEIVER_URL")}
	d.Svix = d.with(os.Getenv("SVIX_TOKEN"))
	d.applications()
	d.eventTypes()
	d.endpoints()
	d.settings()
	d.messages()
	d.attempts()
	d.examples()
	d.tasks()
	d.visitors()
	d.unserved()
	d.contents()
	d.ends()
}

// with is the SDK with another key.
func (d *driver) with(token string) *svix.Svix {
	sdk, err := svix.New(token, &svix.SvixOptions{ServerUrl: d.server})
	done(err)
	return sdk
}

// unserved calls what the server has not: it says so, and the SDK can tell.
func (d *driver) unserved() {
	for _, err := range []error{
		failed(d.EventType.ImportOpenapi(d.ctx, models.EventTypeImportOpenApiIn{}, nil)),
		failed(d.Endpoint.TransformationGet(d.ctx, d.app, d.ok)),
		failed(d.Integration.List(d.ctx, d.app, nil)),
		d.Integration.Delete(d.ctx, d.app, nobody),
		failed(d.OperationalWebhookEndpoint.List(d.ctx, nil)),
		failed(d.OperationalWebhookEndpoint.GetSecret(d.ctx, nobody)),
		failed(d.Statistics.AggregateEventTypes(d.ctx)),
		failed(d.Streaming.Stream.List(d.ctx, nil)),
		failed(d.Connector.Get(d.ctx, nobody)),
		failed(d.Environment.Export(d.ctx, nil)),
		failed(d.Ingest.Source.List(d.ctx, nil)),
		failed(d.Message.Poller.Poll(d.ctx, d.app, nobody, nil)),
	} {
		refused(err, 501, "not_implemented")
	}
}

// done ends the program at an error: the call should have succeeded.
func done(err error) {
	if err != nil {
		fail(2, "%s", said(err))
	}
}

// got is what a call that should have succeeded returned.
func got[T any](out T, err error) T {
	if err != nil {
		fail(2, "%s", said(err))
	}
	return out
}

// failed is the error of a call whose other result does not matter.
func failed[T any](_ T, err error) error { return err }

// refused ends the program unless a call was refused with a status and a code;
// of 422 what stands for the code is the place of the first fault.
func refused(err error, status int, code string) {
	sdk := new(svix.Error)
	if !errors.As(err, &sdk) || sdk.Status() != status {
		fail(2, "want %d: %s", status, said(err))
	}
	var body struct {
		Code   string
		Detail json.RawMessage
	}
	if err := json.Unmarshal(sdk.Body(), &body); err != nil {
		fail(2, "%v: %s", err, sdk.Body())
	}
	if status == 422 {
		var faults []struct {
			Loc       []any
			Msg, Type string
		}
		if err := json.Unmarshal(body.Detail, &faults); err != nil || len(faults) == 0 || faults[0].Msg == "" || faults[0].Type == "" {
			fail(2, "%v: %s", err, sdk.Body())
		}
		body.Code = strings.Trim(fmt.Sprint(faults[0].Loc), "[]")
	}
	if body.Code != code {
		fail(2, "want %d %s: %s", status, code, sdk.Body())
	}
}

// want ends the program unless something holds.
func want(holds bool, about string, values ...any) {
	if !holds {
		fail(2, about, values...)
	}
}

// await polls until something holds.
func await(what string, holds func() bool) {
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			fail(2, "not within %v: %s", patience, what)
		}
	}
}

// said is an error with what the server answered.
func said(err error) string {
	if sdk := new(svix.Error); errors.As(err, &sdk) {
		return fmt.Sprintf("%v: %s", err, sdk.Body())
	}
	return fmt.Sprint(err)
}

// fail ends the program. depth tells whose line is to blame.
func fail(depth int, about string, values ...any) {
	_ = log.Output(depth+1, fmt.Sprintf(about, values...))
	os.Exit(1)
}

// to is a pointer to a value.
func to[T any](value T) *T { return &value }
