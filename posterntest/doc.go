// Package posterntest helps to test programs that send, handle or receive
// webhooks with Postern.
//
// [New] runs an engine in memory until the test ends. A [Receiver] is the other
// side: it takes deliveries, answers as its script says, which may be badly, keeps
// the requests and checks their signatures. [Sign] makes requests as the providers
// of package verify's catalogue sign them, to try a program's own intake with.
//
//	s := posterntest.New(t, engine.Config{})
//	r := s.NewReceiver(posterntest.Reply{Status: 503})
//	s.Connect(r)
//	m := s.Publish("invoice.paid", map[string]int{"amount": 1200})
//	s.AwaitState(m, postern.Delivered)
//	got := r.Await(2) // the first was refused
//
// # Without sleeping
//
// Whatever begins with Await returns as soon as what it waits for is so, woken by
// the engine, and fails the test once [Server.Patience] is over, saying how far it
// came. Outside a bubble of testing/synctest retries are milliseconds apart unless
// the Config sets a schedule.
//
// # In a bubble
//
// Deliveries do not leave the process: receivers have addresses of 192.0.2.0/24,
// which is for documentation, and connections to them are pipes. So all of it works
// in a bubble of testing/synctest, where a day of retries passes at once and the
// schedule is the engine's own. [Server.Listen] and addresses elsewhere, such as those
// of package httptest, are real network, which stops a bubble's clock.
package posterntest
