package engine

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"
)

// Middleware puts something around a handler.
type Middleware func(next HandlerFunc) HandlerFunc

// PanicError is what a handler's panic comes to.
type PanicError struct {
	Value any    // what it panicked with
	Stack []byte // of its goroutine
}

// Error shows the value.
func (e *PanicError) Error() string { return fmt.Sprint("panic: ", e.Value) }

// Recover is the middleware that turns a panic into a PanicError. The engine has
// it around every handler, within all other middleware and around it.
func Recover(next HandlerFunc) HandlerFunc {
	return func(ctx context.Context, msg *Message) (err error) {
		defer func() {
			if v := recover(); v != nil {
				err = &PanicError{Value: v, Stack: debug.Stack()}
			}
		}()
		return next(ctx, msg)
	}
}

// Log is middleware that logs each call: failures as warnings, the others for
// who debugs. Nothing of the payload is logged but what the handler's errors say,
// and nothing at all with a log of nil.
func Log(log *slog.Logger) Middleware {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return func(next HandlerFunc) HandlerFunc {
		return func(ctx context.Context, msg *Message) error {
			begun := time.Now()
			err := next(ctx, msg)
			level := slog.LevelDebug
			if err != nil {
				level = slog.LevelWarn
			}
			if log.Enabled(ctx, level) {
				log.LogAttrs(ctx, level, "a handler returned", slog.String("handler", msg.Handler), slog.String("message", msg.ID.String()),
					slog.String("event_type", msg.EventType), slog.Int("attempt", msg.Attempt),
					slog.Duration("took", time.Since(begun)), slog.Any("error", err))
			}
			return err
		}
	}
}

// Trace is middleware that has start called before each call, and what start
// returns after it, with the call's error: a span around the handler, whose
// context it gets. What it returns may be nil.
func Trace(start func(ctx context.Context, msg *Message) (context.Context, func(error))) Middleware {
	return func(next HandlerFunc) HandlerFunc {
		return func(ctx context.Context, msg *Message) error {
			ctx, end := start(ctx, msg)
			err := next(ctx, msg)
			if end != nil { // a panic here would have what was handled handled again
				end(err)
			}
			return err
		}
	}
}
