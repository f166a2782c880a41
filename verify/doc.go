// Package verify checks that an inbound webhook comes from who it says, and
// tells what kind of event it is. It needs nothing else of Postern.
//
// # From a definition to an answer
//
// How a provider signs is data: a [Definition], one JSON file per provider under
// providers/. [Lookup] finds it by name; a [Catalogue] knows definitions of one's
// own besides, which [ParseDefinition] reads.
//
// [New] joins a definition with the [Config] of one source, names all that is
// wrong with the two, and makes a [Verifier]; [For] does with a provider's name
// and its secrets. A Verifier is asked about a [Request] in one of these ways:
//
//   - [Middleware] stands in front of a net/http handler, answers handshakes, and
//     lets through what verifies, with the [Event] in its context.
//   - [Verifier.Receive] is for servers of another kind. Its [Result] says what to
//     publish, what to keep or fetch first, and what to answer.
//   - [Verifier.Verify] knows events only: to it a handshake is a request like any
//     other.
//   - [Verifier.Explain] and [Verifier.Diagnose] tell the owner of a source why a
//     request is refused, step by step, and what would have to be otherwise.
//
// [Verifier.Sign] reads a definition the other way and makes a request that verifies,
// for tests.
//
// Handshakes come first, because many are not signed; those that are have to
// verify before they are answered. An event becomes an input, which is taken
// apart at most once. Each scheme whose conditions it meets asks a checker, by
// its kind: a signature over a template, a token, a JSON Web Token, an HTTP
// message signature, or a function for what data cannot say. What a checker
// accepts must then have the right digests, belong to the source's own account,
// and be recent.
//
// # What holds for every provider
//
//   - The signature is computed over the raw bytes of the body; nothing is
//     decoded and encoded again, but where a provider signs another form than it
//     sends, which its definition names.
//   - The algorithm comes from the definition, never from the request, and so do
//     the hosts that keys may be fetched from.
//   - Signatures are decoded in one encoding, their length checked, and compared
//     in constant time; tokens by their hashes. At most [MaxSignatures] of one
//     request are considered.
//   - An empty secret is refused when the Verifier is made and when it is used.
//   - A header, field or element that counts must stand there once, unless the
//     provider documents repeats.
//   - A signature that leaves out the body is refused at New, unless the
//     definition says so and its Unsigned says it in words.
//   - A timestamp that is not part of the signed text is worth nothing and is
//     refused at New; one that is must lie near now in both directions, by
//     [DefaultTolerance] where nobody says otherwise.
//   - What a challenge may have got an HMAC of, under the same secret, is no event.
//   - What fails is an [*Error] with a [Reason] for the operator. The sender
//     gets one answer for all of them.
//
// The package reads no clock and logs nothing, the middleware excepted, which
// asks its Options for the time.
package verify
