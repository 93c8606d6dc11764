// Command k6 is the real k6, built from its Go module for machines that have none.
//
// It must not change what k6 does.
package main

import "go.k6.io/k6/cmd"

func main() {
	cmd.Execute()
}
