package engine

import (
	"context"
	"errors"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/deliver"
	"github.com/postern-dev/postern/internal/dispatch"
)

// handlerURL begins what stands for a handler's URL wherever one is shown; its
// name follows.
const handlerURL = "postern:handler/"

// maxResponse bounds what is kept of a handler's error or panic, in bytes.
const maxResponse = 20 << 10

var (
	errDeadline = errors.New("the handler's deadline is over")
	errExited   = errors.New("the handler ended its goroutine")
	errAborted  = errors.New("the engine stops")
)

// handlerLine calls a handler for its deliveries.
type handlerLine struct {
	*registered
	engine *Engine
	// mayStart reports whether a delivery of a journal that waited may be tried.
	mayStart func(journal uint16) bool
}

var _ dispatch.Line = (*handlerLine)(nil)

// handlerLine is the line of an endpoint of kind handler.
func (e *Engine) handlerLine(v *postern.EndpointView) (dispatch.Line, error) {
	r := e.handlers.byNumber[v.Number]
	if r == nil {
		return nil, errors.New("no function is registered for the handler " + v.UID)
	}
	return &handlerLine{r, e, e.mayStart}, nil
}

// Send implements dispatch.Line.
func (l *handlerLine) Send(ctx context.Context, m *postern.Message, c *postern.Content, a *postern.Attempt) bool {
	if l.slots != nil {
		select {
		case l.slots <- struct{}{}:
		case <-l.engine.handlers.stopping:
			return false
		}
		defer func() { <-l.slots }()
		if !l.mayStart(m.ID.Journal()) { // it waited, for however long
			return false
		}
	}
	begun := time.Now()
	a.URL = handlerURL + l.Name
	limited, cancel := context.WithTimeoutCause(ctx, l.Timeout, errDeadline)
	defer cancel()
	msg := newMessage(m, c)
	msg.Handler, msg.Attempt, msg.Replay = l.Name, a.N, a.Replay
	err := run(l.engine.causing(limited, msg), l.call, msg)
	a.Timings.Total = time.Since(begun)
	if err != nil && ctx.Err() != nil {
		return false // cut off, which is no failure of its own
	}
	record(a, err, limited.Err() != nil)
	return true
}

// run calls a handler on a goroutine of its own, which it may end.
func run(ctx context.Context, call HandlerFunc, msg *Message) error {
	done := make(chan error, 1)
	go func() {
		err := errExited
		defer func() { done <- err }()
		err = call(ctx, msg)
	}()
	return <-done
}

// record fills in what came of a call. An error is the program's own code: one
// whose methods panic, as those of a nil pointer of its type do, is a panic of the
// handler's.
func record(a *postern.Attempt, err error, late bool) {
	defer func() {
		if v := recover(); v != nil {
			a.Code = 0
			record(a, &PanicError{Value: v, Stack: debug.Stack()}, late)
		}
	}()
	var panicked *PanicError
	switch {
	case err == nil:
		a.Succeeded, a.Code = true, http.StatusOK
		return
	case errors.As(err, &panicked):
		a.Failure = "panic"
		a.Response = append(append([]byte(err.Error()), "\n\n"...), panicked.Stack...)
	case late:
		a.Failure = deliver.Timeout.String()
		a.Response = []byte(err.Error())
	default:
		a.Code = http.StatusInternalServerError
		a.Response = []byte(err.Error())
	}
	a.Response = a.Response[:min(len(a.Response), maxResponse)]
	a.Permanent, a.RetryAfter = postern.IsPermanent(err), postern.RetryAfterOf(err)
}
