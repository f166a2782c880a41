package dispatch

// ring is a queue that reuses its memory. The zero value is empty.
type ring[T any] struct {
	items []T
	head  int
	size  int
}

func (r *ring[T]) len() int { return r.size }

func (r *ring[T]) push(v T) {
	if r.size == len(r.items) {
		r.grow()
	}
	r.items[(r.head+r.size)%len(r.items)] = v
	r.size++
}

// peek is the first item of a ring that is not empty.
func (r *ring[T]) peek() T { return r.items[r.head] }

// at is the item that so many others come before.
func (r *ring[T]) at(i int) T { return r.items[(r.head+i)%len(r.items)] }

// pop takes the first item of a ring that is not empty.
func (r *ring[T]) pop() T {
	v := r.items[r.head]
	var zero T
	r.items[r.head] = zero
	r.head = (r.head + 1) % len(r.items)
	r.size--
	if r.size == 0 && len(r.items) > 64 {
		r.items, r.head = nil, 0 // a burst is over: give its memory back
	}
	return v
}

// popLast takes the last item of a ring that is not empty.
func (r *ring[T]) popLast() T {
	r.size--
	at := &r.items[(r.head+r.size)%len(r.items)]
	v := *at
	var zero T
	*at = zero
	return v
}

func (r *ring[T]) grow() {
	grown := make([]T, max(4, 2*len(r.items)))
	for i := range r.size {
		grown[i] = r.items[(r.head+i)%len(r.items)]
	}
	r.items, r.head = grown, 0
}
