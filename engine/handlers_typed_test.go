package engine

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-dev/postern"
)

type invoice struct {
	Number int       `json:"number"`
	At     time.Time `json:"at"`
	Lines  []struct {
		Amount float64 `json:"amount"`
	} `json:"lines"`
}

func TestTypedHandlers(t *testing.T) {
	inProgram(t, Config{}, func(p *program) {
		p.begin(func(eng *Engine) error {
			return On(eng, "invoice.paid", func(_ context.Context, m MessageOf[invoice]) error {
				p.note("%s %d", m.EventType, m.Data.Number)
				return nil
			})
		})
		p.publish("invoice.paid", `{"number":7}`)
		p.want("invoice.paid 7")
		for payload, say := range map[string]string{
			`{"number":"secret"}`:           "number is a JSON string, want int",
			`{"lines":[{"amount":"much"}]}`: "lines.amount is a JSON string, want float64",
			`{"number":1.2345}`:             "number is a JSON number, want int",
			`[1]`:                           "the payload itself is a JSON array",
			`{"number":`:                    "it is no JSON",
			`{"at":"secret"}`:               "a value is none that its type takes: *time.ParseError",
		} {
			m := p.publish("invoice.paid", payload)
			p.pass(time.Second)
			a := p.attempts(m)[0]
			if text := string(a.Response); !strings.Contains(text, say) || strings.Contains(text, "secret") || strings.Contains(text, "2345") {
				t.Errorf("%s: %s", payload, text)
			}
			if a.Code != 500 || a.Reason != postern.ReasonPermanent {
				t.Errorf("%s: %+v", payload, a)
			}
		}
		p.want()
	})
}

// shop has a handler of each form.
type shop struct{ p *program }

func (s *shop) InvoicePaid(_ context.Context, m *Message) error {
	s.p.note("paid %s", m.EventType)
	return nil
}

func (s *shop) OrderMade(_ context.Context, m MessageOf[invoice]) error {
	if m.Data.Number == 0 {
		return io.ErrUnexpectedEOF
	}
	s.p.note("made %d", m.Data.Number)
	return nil
}

func TestMethodsAreHandlers(t *testing.T) {
	inProgram(t, Config{}, func(p *program) {
		p.begin(func(eng *Engine) error { return eng.OnMethods(&shop{p}, "invoice.paid", "order_made", "order.gone") })
		p.publish("invoice.paid", "{}")
		p.want("paid invoice.paid")
		p.publish("order_made", `{"number":3}`)
		p.want("made 3")
		unlucky, wrong := p.publish("order_made", `{}`), p.publish("order_made", `[]`)
		p.publish("order.gone", "{}")
		p.pass(time.Second)
		p.want()
		if a := p.attempts(unlucky)[0]; string(a.Response) != "unexpected EOF" || a.Permanent {
			t.Errorf("%+v", a)
		}
		if a := p.attempts(wrong)[0]; !a.Permanent {
			t.Errorf("%+v", a)
		}
		// By now the catalogue knows their names.
		p.begin(func(eng *Engine) error { return eng.OnMethods(&shop{p}) })
		synctest.Wait()
		p.publish("invoice.paid", "{}")
		p.want("paid invoice.paid")
	})
}

type (
	plainMethods struct{}
	shouting     struct{ plainMethods }
	noContext    struct{ plainMethods }
	twoResults   struct{ plainMethods }
	pointer      struct{ plainMethods }
	halfPointer  struct{ plainMethods }
)

func (plainMethods) InvoicePaid(context.Context, *Message) error              { return nil }
func (shouting) Shout()                                                       {}
func (noContext) OrderMade(*Message) error                                    { return nil }
func (twoResults) OrderMade(context.Context, *Message) (int, error)           { return 0, nil }
func (pointer) OrderMade(context.Context, *MessageOf[invoice]) error          { return nil }
func (*halfPointer) OrderMade(context.Context, *Message) error                { return nil }
func (plainMethods) unexported(context.Context, *postern.Message) (_, _ bool) { return }

func TestMethodsThatAreNoHandlers(t *testing.T) {
	plainMethods{}.unexported(t.Context(), nil)
	inProgram(t, Config{}, func(p *program) {
		eng, err := New(p.Context(), p.cfg)
		if err != nil {
			t.Fatal(err)
		}
		types := []string{"invoice.paid", "order.made"}
		for name, test := range map[string]struct {
			v     any
			types []string
			say   string
		}{
			"nothing":             {nil, types, "no exported method"},
			"no methods":          {struct{}{}, types, "no exported method"},
			"an unknown name":     {shouting{}, types, "named like the method Shout"},
			"none known":          {plainMethods{}, nil, "there are 0"},
			"names that collide":  {plainMethods{}, []string{"invoice.paid", "invoice_paid"}, "both invoice.paid and invoice_paid"},
			"no context":          {noContext{}, types, "the method OrderMade is a func(*engine.Message) error"},
			"two results":         {twoResults{}, types, "(int, error)"},
			"a nil pointer":       {(*plainMethods)(nil), types, "the *engine.plainMethods is nil"},
			"no pointer":          {halfPointer{}, types, "give a *engine.halfPointer"},
			"a pointer to a type": {pointer{}, types, "the method OrderMade"},
		} {
			if err := eng.OnMethods(test.v, test.types...); !errors.Is(err, postern.ErrInvalid) || !strings.Contains(err.Error(), test.say) {
				t.Errorf("%s: %v, want %q", name, err, test.say)
			}
		}
		if err := eng.OnMethods(plainMethods{}, "invoice.paid", "invoice.paid"); err != nil {
			t.Errorf("after all these: %v", err)
		}
	})
}

// What can be mended in the program ends no delivery.
func TestDecodeIntoNothing(t *testing.T) {
	m := &Message{EventType: "a.b", Payload: []byte(`{}`)}
	for _, into := range []any{nil, invoice{}, (*invoice)(nil)} {
		if err := m.Decode(into); err == nil || postern.IsPermanent(err) {
			t.Errorf("into a %T: %v", into, err)
		}
	}
}
