package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"
)

// How pods are found by their addresses.
const byAddress = "address"

// A network is the proxy through which the API server reaches pods and kubelets (its egress selector `cluster`): none of their addresses leads
// anywhere on this machine, and none is on loopback, which the API server would refuse.
type network struct {
	kubelet string
	servers *podServers
	pods    cache.Indexer
}

func (n *network) watch(pods cache.SharedIndexInformer) error {
	n.pods = pods.GetIndexer()
	return pods.AddIndexers(cache.Indexers{byAddress: func(object any) ([]string, error) {
		pod, ok := object.(*core.Pod)
		if !ok || pod.Status.PodIP == "" {
			return nil, nil
		}
		return []string{pod.Status.PodIP}, nil
	}})
}

func (n *network) serve(listener net.Listener) error {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		go n.connect(connection)
	}
}

// connect answers one CONNECT.
func (n *network) connect(from net.Conn) {
	reader := bufio.NewReader(from)
	request, err := http.ReadRequest(reader)
	if err != nil || request.Method != http.MethodConnect {
		from.Close()
		return
	}
	host, port, err := net.SplitHostPort(request.Host)
	if err != nil {
		refuse(from, err.Error())
		return
	}
	established := func() net.Conn {
		fmt.Fprint(from, "HTTP/1.1 200 Connection established\r\n\r\n")
		return &buffered{Conn: from, reader: reader}
	}
	switch {
	case strings.HasPrefix(host, "10.244."):
		pod, why := n.pod(host, port)
		if why != "" {
			refuse(from, fmt.Sprintf("dial tcp %s: connect: %s", request.Host, why))
			return
		}
		n.servers.serve(established(), pod)
		return
	case strings.HasPrefix(host, "10.0.0."):
		n.pass(from, n.kubelet, established)
	case host == "localhost" || host == "127.0.0.1":
		n.pass(from, net.JoinHostPort("127.0.0.1", port), established)
	default:
		refuse(from, fmt.Sprintf("dial tcp %s: connect: no route to host", request.Host))
	}
}

// pod is the one at this address, and why it cannot be reached.
func (n *network) pod(address, port string) (*core.Pod, string) {
	found, err := n.pods.ByIndex(byAddress, address)
	if err != nil {
		return nil, err.Error()
	}
	for _, object := range found {
		pod, ok := object.(*core.Pod)
		if !ok || pod.DeletionTimestamp != nil && pod.Status.Phase != core.PodRunning {
			continue
		}
		for _, status := range pod.Status.ContainerStatuses {
			if status.State.Running == nil {
				continue
			}
			for _, container := range pod.Spec.Containers {
				for _, open := range container.Ports {
					if container.Name == status.Name && fmt.Sprint(open.ContainerPort) == port {
						return pod, ""
					}
				}
			}
		}
		return nil, "connection refused"
	}
	return nil, "no route to host"
}

func (n *network) pass(from net.Conn, address string, established func() net.Conn) {
	to, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(context.Background(), "tcp", address)
	if err != nil {
		refuse(from, err.Error())
		return
	}
	both := established()
	var done sync.WaitGroup
	done.Add(2)
	copyTo := func(to, from net.Conn) {
		defer done.Done()
		_, _ = io.Copy(to, from)
		if half, ok := to.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	}
	go copyTo(to, both)
	go copyTo(both, to)
	done.Wait()
	to.Close()
	from.Close()
}

func refuse(connection net.Conn, why string) {
	fmt.Fprintf(connection, "HTTP/1.1 502 %s\r\nContent-Length: 0\r\n\r\n", why)
	connection.Close()
}

// A buffered connection gives first what was read together with the CONNECT.
type buffered struct {
	net.Conn
	reader *bufio.Reader
}

func (b *buffered) Read(into []byte) (int, error) { return b.reader.Read(into) }

func (b *buffered) CloseWrite() error {
	if half, ok := b.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
