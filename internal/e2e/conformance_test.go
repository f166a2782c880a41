package e2e_test

// The conformance run. A driver is a program written with one SDK. It is run
// once, against a server behind a proxy of the test, and told by variables:
//
//	SVIX_TOKEN       an admin key
//	SVIX_SERVER_URL  the proxy's address, which the SDK is given as the server's
//	RECEIVER_URL     a receiver for endpoints: 200 at /ok..., 500 at /fail...
//
// It calls every method of its SDK whose operation is served, once for a
// success and once for a refusal that the operation's document names and that
// is its own (not merely a wrong key), and a handful that are not served (501).
// It ends with another code than 0 at any answer that it did not expect or that
// the SDK could not read. It uses applications and event types that begin with
// its language's name. Everything else is read off the proxy, which counts only
// requests with the SDK's User-Agent: which operation was called and what was
// answered.
