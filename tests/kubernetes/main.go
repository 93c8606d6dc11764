// Command kubernetes is one program for each process of a real Kubernetes control plane, chosen by its first word.
//
// It must not change what those processes do: each command is the upstream one, with upstream's flags. One program, and not one for each,
// because they share nearly all of their code and linking it once is quicker. Besides them it has what a cluster is surrounded by (a network
// of pods, metrics), and starts and stops all of it in a folder.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	"sigs.k8s.io/kwok/pkg/config"
	"sigs.k8s.io/kwok/pkg/kwok/cmd"
	"sigs.k8s.io/kwok/pkg/log"
	"sigs.k8s.io/kwok/pkg/utils/signals"
)

func main() {
	if len(os.Args) < 2 {
		usage()
	}
	name := os.Args[1]
	os.Args = append([]string{name}, os.Args[2:]...)
	var err error
	switch name {
	case "etcd":
		etcdmain.Main(os.Args)
	case "kube-apiserver":
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	case "kube-controller-manager":
		os.Exit(cli.Run(controllermanager.NewControllerManagerCommand()))
	case "kube-scheduler":
		os.Exit(cli.Run(scheduler.NewSchedulerCommand()))
	case "kwok":
		os.Exit(run(kwok()))
	case "surroundings":
		err = surroundings(os.Args[1:])
	case "up":
		keda := ""
		if len(os.Args) > 2 {
			keda = os.Args[2]
		}
		err = up(argument(1), keda)
	case "down":
		err = stop(argument(1))
	case "start":
		err = start(argument(1), argument(2))
	default:
		usage()
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "kubernetes %s: %v\n", name, err)
		os.Exit(1)
	}
}

func argument(number int) string {
	if len(os.Args) <= number {
		usage()
	}
	return os.Args[number]
}

func usage() {
	fmt.Fprint(os.Stderr, `usage: kubernetes up FOLDER [KEDA]       start a cluster and wait until it is ready; with KEDA from that folder, where one is given
       kubernetes down FOLDER            stop its processes
       kubernetes start FOLDER PROCESS   start a process of it again, which was killed
       kubernetes PROCESS [FLAGS]        be one: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kwok, surroundings
`)
	os.Exit(2)
}

func run(ctx context.Context, command *cobra.Command, err error) int {
	if err == nil {
		err = command.ExecuteContext(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// kwok's own main does this, and has no function for it.
func kwok() (context.Context, *cobra.Command, error) {
	// The other commands' packages have declared their flags for all.
	pflag.CommandLine = pflag.NewFlagSet("kwok", pflag.ContinueOnError)
	flags := pflag.NewFlagSet("global", pflag.ContinueOnError)
	flags.ParseErrorsAllowlist.UnknownFlags = true
	flags.Usage = func() {}
	ctx, _ := log.InitFlags(signals.SetupSignalContext(), flags)
	ctx, err := config.InitFlags(ctx, flags)
	if err != nil {
		return ctx, nil, err
	}
	command := cmd.NewCommand(ctx)
	command.PersistentFlags().AddFlagSet(flags)
	return ctx, command, nil
}
