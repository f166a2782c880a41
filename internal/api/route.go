package api

import (
	"net/url"
	"slices"
	"strings"
)

// maxParams is the most variable parts in a path of the table.
const maxParams = 3

// node is one segment of the table's paths. The tree is what http.ServeMux
// would be, without its redirects (a POST that is redirected arrives as a GET),
// its answers in plain text, and its allocations.
type node struct {
	literal map[string]*node
	// variable stands for any segment; nil for none.
	variable *node
	// operations by method; empty where a path does not end.
	operations map[string]*operation
	// allow is the value of the Allow header.
	allow string
}

// newRoutes grows the tree. Two rows of one path and method are a mistake in
// the table, which a test would find.
func newRoutes(rows []row) *node {
	root := new(node)
	for _, r := range rows {
		o := r.operation()
		n := root
		for segment := range strings.SplitSeq(strings.TrimPrefix(o.path, "/"), "/") {
			n = n.grow(segment)
			if name, ok := variable(segment); ok {
				o.params = append(o.params, name)
			}
		}
		if n.operations == nil {
			n.operations = map[string]*operation{}
		}
		n.operations[o.method] = o
		n.allow = allowed(n.operations)
	}
	return root
}

// grow returns the node below for a segment, which it makes if need be.
func (n *node) grow(segment string) *node {
	if _, ok := variable(segment); ok {
		if n.variable == nil {
			n.variable = new(node)
		}
		return n.variable
	}
	next := n.literal[segment]
	if next == nil {
		next = new(node)
		if n.literal == nil {
			n.literal = map[string]*node{}
		}
		n.literal[segment] = next
	}
	return next
}

// find walks a request's path, tolerates one slash at its end, and keeps what
// stands for variables; nil for a path that the table does not know.
func (n *node) find(path string, values *[maxParams]string) *node {
	rest, ok := strings.CutPrefix(path, Prefix+"/")
	if !ok {
		return nil
	}
	rest = strings.TrimSuffix(rest, "/")
	count := 0
	for more := true; more; {
		var segment string
		segment, rest, more = strings.Cut(rest, "/")
		next := n.literal[segment]
		if next == nil {
			if next = n.variable; next == nil || segment == "" {
				return nil
			}
			values[count] = segment
			count++
		}
		n = next
	}
	if n.operations == nil {
		return nil
	}
	return n
}

// at is find for a request. No name holds a slash: one that was sent escaped, as
// clients do with what their own users call a thing, must not come apart into
// the path of another operation.
func (n *node) at(u *url.URL, values *[maxParams]string) *node {
	if strings.Contains(u.RawPath, "%2F") || strings.Contains(u.RawPath, "%2f") {
		return nil
	}
	return n.find(u.Path, values)
}

// operation is the row for a method, nil for none. HEAD is GET without a body,
// which net/http leaves out.
func (n *node) operation(method string) *operation {
	if method == "HEAD" {
		method = "GET"
	}
	return n.operations[method]
}

// variable tells "{name}" from a segment that stands for itself.
func variable(segment string) (name string, ok bool) {
	name, ok = strings.CutPrefix(segment, "{")
	return strings.TrimSuffix(name, "}"), ok
}

// allowed is an Allow header: what the table has, and HEAD beside GET.
func allowed(operations map[string]*operation) string {
	methods := make([]string, 0, len(operations)+1)
	for method := range operations {
		methods = append(methods, method)
		if method == "GET" {
			methods = append(methods, "HEAD")
		}
	}
	slices.Sort(methods)
	return strings.Join(methods, ", ")
}
