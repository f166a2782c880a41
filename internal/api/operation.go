package api

import (
	"net/http"
	"reflect"
	"strings"
)

// operation is one row of the table, ready to serve.
type operation struct {
	name, method, path string
	access             access
	// in and out are the types of the bodies; nil for none, and for rows that
	// read or write their bodies themselves.
	in, out reflect.Type
	status  int
	// params are the names of the path's variables in their order.
	params []string
	// query are the parameters that it reads.
	query params
	// media is the type of an answer that is not JSON, and also another status
	// of success; both only for the document.
	media string
	also  int
	// inApplication: the path lies inside an application, which is found and
	// checked before run.
	inApplication bool
	// brings: the body can bring the application along that the path names; who
	// may make applications gets to run without one.
	brings bool
	// anew: a repetition is not answered as the first one was, since that is not
	// so any more.
	anew bool
	// swift: it goes by what is known here, and looks for other nodes' changes only
	// where something seems not to be there.
	swift bool
	run   func(h *handler, c *call) error
}

// row is what the table consists of.
type row interface{ operation() *operation }

// op is an operation that takes In and answers Out, both JSON; none stands for
// no body. Status is the answer's unless the function sets another.
type op[In, Out any] struct {
	name, method, path string
	access             access
	status             int
	do                 func(h *handler, c *call, in In) (Out, error)
}

// none is the In or Out of an operation without a body.
type none struct{}

// operation implements row.
func (o op[In, Out]) operation() *operation {
	return &operation{
		name: o.name, method: o.method, path: o.path, access: o.access, status: o.status,
		in: typeOf[In](), out: typeOf[Out](),
		inApplication: inApplication(o.path, o.access),
		run:           o.run,
	}
}

// run decodes, calls and renders.
func (o op[In, Out]) run(h *handler, c *call) error {
	var in In
	if _, bare := any(in).(none); !bare {
		if err := c.decode(h.MaxBody, &in); err != nil {
			return err
		}
	}
	c.status = o.status
	out, err := o.do(h, c, in)
	if err != nil {
		return err
	}
	if c.status == http.StatusNoContent {
		c.w.WriteHeader(c.status)
		return nil
	}
	return h.answer(c, out)
}

// raw is an operation that reads and writes its bodies itself.
type raw struct {
	name, method, path string
	access             access
	status             int
	do                 func(h *handler, c *call) error
}

// operation implements row.
func (o raw) operation() *operation {
	return &operation{
		name: o.name, method: o.method, path: o.path, access: o.access, status: o.status,
		inApplication: inApplication(o.path, o.access),
		run: func(h *handler, c *call) error {
			c.status = o.status
			return o.do(h, c)
		},
	}
}

// inApplication tells paths inside an application from those that name one in
// order to create or delete it.
func inApplication(path string, a access) bool {
	return a != global && strings.HasPrefix(path, "/app/{app}")
}

// typeOf is nil for none.
func typeOf[T any]() reflect.Type {
	t := reflect.TypeFor[T]()
	if t == reflect.TypeFor[none]() {
		return nil
	}
	return t
}
