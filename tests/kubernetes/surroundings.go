package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"net"
	"net/http"
	"os"
	"time"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// surroundings are what a control plane expects around it: a network that leads to pods and kubelets, and metrics. And a ticket service behind
// an address of its own, since no pod here runs a program.
func surroundings(args []string) error {
	flags := flag.NewFlagSet("surroundings", flag.ExitOnError)
	account := flags.String("kubeconfig", "", "the account that reads pods and configmaps")
	socket := flags.String("network", "", "the unix socket of the proxy that the API server reaches pods through")
	metricsAddress := flags.String("metrics", "", "where metrics.k8s.io is served")
	ticketsAddress := flags.String("tickets", "", "where the ticket service is served")
	kubelet := flags.String("kubelet", "", "where every kubelet is served")
	certificate := flags.String("certificate", "", "FILE of FILE.crt and FILE.key")
	tokenFile := flags.String("service-token-file", "", "the token that the ticket service takes")
	_ = flags.Parse(args)
	token, err := os.ReadFile(*tokenFile)
	if err != nil {
		return err
	}

	pair, err := tls.LoadX509KeyPair(*certificate+".crt", *certificate+".key")
	if err != nil {
		return err
	}
	tickets := newTickets(string(token))
	failed := make(chan error, 3)
	go func() { failed <- http.ListenAndServe(*ticketsAddress, tickets) }()

	config, err := clientcmd.BuildConfigFromFlags("", *account)
	if err != nil {
		return err
	}
	config.QPS, config.Burst = 100, 200
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	pods, settings, nodes := factory.Core().V1().Pods(), factory.Core().V1().ConfigMaps(), factory.Core().V1().Nodes()
	network := &network{kubelet: *kubelet, servers: newPodServers(tickets)}
	if err := network.watch(pods.Informer()); err != nil {
		return err
	}
	// A former process of this cluster that was killed has left its own behind.
	if err := os.Remove(*socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	listener, err := net.Listen("unix", *socket)
	if err != nil {
		return err
	}
	go func() { failed <- network.serve(listener) }()

	// The informers start when the API server is there, and go on when it has been away.
	settings.Informer()
	nodes.Informer()
	factory.Start(context.Background().Done())
	metrics := &metrics{pods: pods.Lister(), settings: settings.Lister(), nodes: nodes.Lister()}
	server := &http.Server{
		Addr: *metricsAddress, Handler: metrics, ReadHeaderTimeout: 10 * time.Second,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12},
	}
	go func() { failed <- server.ListenAndServeTLS("", "") }()
	err = <-failed
	if err == nil {
		err = errors.New("a server ended")
	}
	return err
}
