// Package verify checks that an inbound webhook comes from who it says, and
// tells what kind of event it is. It needs nothing else of Postern.
//
// How a provider signs is data: a [Definition], one JSON file per provider
// under providers/, found by [Lookup]. [New] joins a definition with the
// secrets and settings of one source into a [Verifier]; [Middleware] puts one
// in front of a net/http handler.
//
// What holds for every provider:
//
//   - The signature is computed over the raw bytes of the body; nothing is
//     decoded and encoded again.
//   - The algorithm comes from the definition, never from the request.
//   - Signatures are decoded, their length checked, and compared in constant
//     time. At most [MaxSignatures] of one header are considered.
//   - An empty secret is refused when the Verifier is made and when it is used.
//   - A header that counts must stand there once.
//   - A timestamp that is not part of the signed text is worth nothing and is
//     refused at New; one that is must lie near now in both directions.
//   - What fails is an [*Error] with a [Reason] for the operator. The sender
//     gets one answer for all of them.
//
// The package reads no clock and logs nothing, the middleware excepted, which
// asks its Options for the time.
package verify
