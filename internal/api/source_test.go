package api

import "testing"

// TestMappedTypesAreDeclared: an endpoint can select the types that a source makes
// of its provider's before the first event came.
func TestMappedTypesAreDeclared(t *testing.T) {
	w := newWorld(t)
	w.want(201, "POST", "/app", `{"name":"shop","uid":"shop"}`)
	w.want(201, "POST", "/app/shop/source", `{"name":"code","uid":"code","provider":"github","secrets":["s3cret"],"eventTypes":{"push":"code.changed"}}`)
	w.want(201, "POST", "/app/shop/endpoint", `{"url":"https://example.com/a","filterTypes":["code.changed"]}`)
	w.want(200, "PATCH", "/app/shop/source/code", `{"eventTypes":{"push":"code.pushed"}}`)
	w.want(201, "POST", "/app/shop/endpoint", `{"url":"https://example.com/b","filterTypes":["code.pushed"]}`)
}
