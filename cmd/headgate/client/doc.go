// Package client asks a Headgate or InfluxDB v2 server over HTTP, for the commands of
// headgate.
//
// A Client knows the server and the token. Do sends any request, JSON one with a
// document each way, and Write a batch of line protocol again and again until the server
// takes it, refuses it for good, or the tries are used up. Whatever the server refuses is an
// *Error with what it said, the lines it said it about included.
//
//	c, err := client.New(client.Options{Host: "http://127.0.0.1:8086", Token: "secret"})
//	_, err = c.Write(ctx, client.Batch{Org: "acme", Bucket: "b", Body: lines})
//	var refused *client.Error
//	if errors.As(err, &refused) { ... refused.Lines ... }
//
// It never prints, and keeps no token anywhere.
package client
