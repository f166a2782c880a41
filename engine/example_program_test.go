package engine_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/engine"
	"github.com/postern-dev/postern/store/embedded"
)

// Invoice is what the payload of invoice.paid holds.
type Invoice struct{ Number, Amount int }

func book(context.Context, Invoice) error { return nil }

// A whole engine in a program that has a data folder and a mux.
func Example_inAProgramOfYourOwn() {
	mux := http.NewServeMux()
	embed := func(ctx context.Context) error {
		st, err := embedded.Open(ctx, "file:postern-data", embedded.Options{})
		if err != nil {
			return err
		}
		defer st.Close()
		secrets, err := engine.LoadSecrets("postern-data")
		if err != nil {
			return err
		}
		eng, err := engine.New(ctx, engine.Config{Store: st, Secrets: secrets})
		if err != nil {
			return err
		}
		err = engine.On(eng, "invoice.paid", func(ctx context.Context, m engine.MessageOf[Invoice]) error {
			if m.Data.Amount <= 0 {
				return postern.Permanent(errors.New("nothing was paid")) // no retry will mend it
			}
			return book(ctx, m.Data) // any other error is tried again
		})
		if err != nil {
			return err
		}
		mux.Handle("/hooks/", http.StripPrefix("/hooks", eng.Handler())) // API, intake and page
		return eng.Run(ctx)                                              // until ctx is done; then it drains
	}
	report := func(ctx context.Context, eng *engine.Engine, payload []byte) error {
		message, outcomes, err := eng.PublishWait(ctx, postern.Publish{EventType: "invoice.paid", Payload: payload})
		if err != nil {
			return err // it was not stored
		}
		for _, o := range outcomes {
			fmt.Println(message.ID, "at", o.Endpoint.UID, "is", o.State)
		}
		return nil
	}
	_, _ = embed, report
}
