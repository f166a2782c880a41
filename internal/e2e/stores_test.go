package e2e_test

import "testing"

// onEachStore runs a test of the API once for each driver, side by side: none of
// them is told from another over the wire. The folder has tests of its own, and
// shares its code with the memory.
func onEachStore(t *testing.T, test func(t *testing.T, store string)) {
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		test(t, "memory:")
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, databases.Database(t))
	})
}

// onDurableStores runs a test that kills or stops servers once for each driver
// whose stores outlive them.
func onDurableStores(t *testing.T, test func(t *testing.T, store string)) {
	t.Run("folder", func(t *testing.T) {
		t.Parallel()
		test(t, "file:"+t.TempDir()+"/store")
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, databases.Database(t))
	})
}
