// Package verify checks that an inbound webhook comes from who it says, and
// tells what kind of event it is. It needs nothing else of Postern.
//
// How a provider signs is data: a [Definition], one JSON file per provider
// under providers/, found by [Lookup]. [For] makes a [Verifier] of a provider
// and its secrets, [New] one of a definition and the whole configuration of a
// source, and [Middleware] puts it in front of a net/http handler.
//
// A request becomes an input, which is taken apart at most once. Each scheme
// whose conditions it meets asks a checker, by its kind: a signature over a
// template, a token, a JSON Web Token, an HTTP message signature, or a function
// for what data cannot say. What a checker accepts must then have the right
// digests, belong to the source's own account, and be recent.
//
// What holds for every provider:
//
//   - The signature is computed over the raw bytes of the body; nothing is
//     decoded and encoded again.
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
//   - What fails is an [*Error] with a [Reason] for the operator. The sender
//     gets one answer for all of them.
//
// The package reads no clock and logs nothing, the middleware excepted, which
// asks its Options for the time.
package verify
