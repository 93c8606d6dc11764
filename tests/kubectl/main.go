// Command kubectl is the real kubectl, built from its Go module for machines that have none.
//
// It must not change what kubectl does. It exists because k8s.io/kubernetes, where kubectl's own main package lives, cannot be built as a
// dependency without a replacement for each of its staging modules.
package main

import (
	"os"

	"k8s.io/component-base/cli"
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"

	// The exec and cloud plugins that kubectl itself knows.
	_ "k8s.io/client-go/plugin/pkg/client/auth"
)

func main() {
	if err := cli.RunNoErrOutput(cmd.NewDefaultKubectlCommand()); err != nil {
		util.CheckErr(err)
		os.Exit(1)
	}
}
