package client_test

import (
	"context"
	"log"
	"os/signal"
	"syscall"

	"github.com/postern-dev/postern/client"
)

// How does a service consume until it is told to stop?
func ExampleClient_Consume_service() {
	run := func(ctx context.Context) error {
		ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
		defer stop()
		c, err := client.New(client.Options{URL: "https://hooks.example.com", Key: "the application's key"})
		if err != nil {
			return err
		}
		err = c.Consume(ctx, "demo", "worker", client.ConsumeOptions{Concurrency: 8}, func(ctx context.Context, l *client.Lease) error {
			return work(ctx, l.Message.EventType, l.Payload)
		})
		return err // nil once ctx is done and what was begun has ended
	}
	_ = run
}

// work stands for what a program does with a message.
func work(_ context.Context, eventType string, payload []byte) error {
	log.Print(eventType, len(payload))
	return nil
}
