// Package oracletest holds package verify against the vendors' own code: their
// SDKs sign requests where they can, and judge requests that were changed on
// the way beside us. Where the two disagree, a table says why.
//
// It is a module of its own, so that nobody who uses Postern downloads them.
// All are under permissive licences (Apache-2.0, BSD, MIT), at pinned versions.
package oracletest
