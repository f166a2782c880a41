package engine

import (
	"context"
	"fmt"
	"reflect"
	"strings"

	"github.com/postern-dev/postern"
)

// OnMethods has v's methods handle the event types that they are named after:
// InvoicePaid handles "invoice.paid". Names are compared in lower case and
// without '.', '-' and '_', with the event types given, or those of the
// catalogue where none is. Every exported method is a handler: its parameters
// are a context and a *Message or a MessageOf, its result is an error. One that
// is not, that no event type is named like, or more than one, is an error of kind
// Invalid, and nothing is registered; so is a value that is given where some of its
// type's methods need a pointer, and a nil pointer.
func (e *Engine) OnMethods(v any, eventTypes ...string) error {
	if len(eventTypes) == 0 {
		all, _ := e.catalogue.EventTypes(postern.ListPage{Limit: -1}, false)
		for _, t := range all {
			eventTypes = append(eventTypes, t.Name)
		}
	}
	value := reflect.ValueOf(v)
	if err := callable(v, value); err != nil {
		return err
	}
	var list []*registered
	for i := range value.NumMethod() {
		method := value.Type().Method(i)
		eventType, err := namedLike(method.Name, eventTypes)
		if err != nil {
			return err
		}
		call, err := handlerOf(method.Name, value.Method(i))
		if err != nil {
			return err
		}
		list = append(list, &registered{HandlerOptions: HandlerOptions{EventTypes: []string{eventType}}, call: call})
	}
	return e.register(list...)
}

// callable says what is wrong with a value whose methods are to be called.
func callable(v any, value reflect.Value) error {
	var wrong string
	switch {
	case v == nil:
		wrong = "%T has no exported method"
	case value.Kind() == reflect.Pointer && value.IsNil():
		wrong = "the %T is nil: its methods would have nothing to work with"
	case value.Kind() != reflect.Pointer && reflect.PointerTo(value.Type()).NumMethod() > value.NumMethod():
		wrong = "some methods of %[1]T have a pointer for a receiver, and would be left out: give a *%[1]T"
	case value.NumMethod() == 0:
		wrong = "%T has no exported method"
	default:
		return nil
	}
	return postern.InvalidField(fmt.Sprintf(wrong, v), "OnMethods")
}

// namedLike is the one event type with a method's name.
func namedLike(method string, eventTypes []string) (string, error) {
	found := ""
	for _, t := range eventTypes {
		switch {
		case plain(t) != plain(method) || t == found:
		case found != "":
			return "", postern.InvalidField(fmt.Sprintf("both %s and %s are named like the method %s: register them with On", found, t, method), "OnMethods")
		default:
			found = t
		}
	}
	if found == "" {
		return "", postern.InvalidField(fmt.Sprintf("no event type is named like the method %s; there are %d: name it in OnMethods's list, or make the method unexported", method, len(eventTypes)), "OnMethods")
	}
	return found, nil
}

// plain is a name without what methods and event types write differently.
func plain(name string) string {
	return strings.NewReplacer(".", "", "-", "", "_", "").Replace(strings.ToLower(name))
}

// reader is a MessageOf of any type.
type reader interface{ read(msg *Message) error }

// handlerOf is the handler that a method is.
func handlerOf(name string, method reflect.Value) (HandlerFunc, error) {
	if fn, ok := method.Interface().(func(context.Context, *Message) error); ok {
		return fn, nil
	}
	t := method.Type()
	wrong := postern.InvalidField(fmt.Sprintf("the method %s is a %s, and no func(context.Context, *engine.Message) error, nor one of an engine.MessageOf", name, t), "OnMethods")
	if t.NumIn() != 2 || t.NumOut() != 1 || t.IsVariadic() || t.In(0) != reflect.TypeFor[context.Context]() || t.Out(0) != reflect.TypeFor[error]() {
		return nil, wrong
	}
	if !reflect.PointerTo(t.In(1)).Implements(reflect.TypeFor[reader]()) || t.In(1).Kind() != reflect.Struct {
		return nil, wrong
	}
	return func(ctx context.Context, msg *Message) error {
		typed := reflect.New(t.In(1))
		if err := typed.Interface().(reader).read(msg); err != nil {
			return err
		}
		err, _ := method.Call([]reflect.Value{reflect.ValueOf(ctx), typed.Elem()})[0].Interface().(error)
		return err
	}, nil
}
