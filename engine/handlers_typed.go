package engine

import "context"

// MessageOf is a message whose payload was read as JSON into Data.
type MessageOf[T any] struct {
	*Message
	Data T
}

// read fills a message in.
func (m *MessageOf[T]) read(msg *Message) error {
	m.Message = msg
	return msg.Decode(&m.Data)
}

// On has fn handle messages of an event type whose payloads are JSON of a T. A
// payload that is not ends its delivery, with an error that names the field: see
// Message.Decode.
func On[T any](e *Engine, eventType string, fn func(ctx context.Context, msg MessageOf[T]) error) error {
	return e.On(eventType, Typed(fn))
}

// Typed makes a HandlerFunc of a function over a MessageOf, for OnWith and
// OnMap. It is nil for nil.
func Typed[T any](fn func(ctx context.Context, msg MessageOf[T]) error) HandlerFunc {
	if fn == nil {
		return nil
	}
	return func(ctx context.Context, msg *Message) error {
		var typed MessageOf[T]
		if err := typed.read(msg); err != nil {
			return err
		}
		return fn(ctx, typed)
	}
}
