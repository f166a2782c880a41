package api

import "net/http"

// Pages of any origin may call the API: a portal that is built into somebody's
// own page does. They bring their token in a header, and never cookies, so that
// no page can act for a visitor who did not give it one.

// preflightAge is how long browsers keep the answer to a preflight, in seconds.
const preflightAge = "7200"

// allowOrigin lets a page read the answer.
func allowOrigin(header http.Header) {
	header["Access-Control-Allow-Origin"] = []string{"*"}
	header["Access-Control-Expose-Headers"] = []string{"Retry-After, Allow"}
}

// preflight answers a browser that asks, before a request and without a token,
// whether it may send it: the path's methods, and any header.
func preflight(c *call, allow string) {
	header := c.w.Header()
	header.Set("Allow", allow)
	header.Set("Access-Control-Allow-Methods", allow)
	if wanted := c.r.Header.Get("Access-Control-Request-Headers"); wanted != "" {
		header.Set("Access-Control-Allow-Headers", wanted)
	}
	header.Set("Access-Control-Max-Age", preflightAge)
	header.Set("Vary", "Access-Control-Request-Headers")
	c.status = http.StatusNoContent
	c.w.WriteHeader(c.status)
}
