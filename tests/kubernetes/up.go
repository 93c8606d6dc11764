package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	api "k8s.io/client-go/tools/clientcmd/api"
)

// What every cluster has from its first moment on.
//
//go:embed objects/*.yaml
var objects embed.FS

// How pods and nodes live.
//
//go:embed stages.yaml
var stages []byte

// The first address of the Services, which is the API server's own.
var serviceAddress = net.IPv4(10, 96, 0, 1)

// The accounts: each has a kubeconfig with a certificate, and a token in cluster.json. Who may do what is in objects/rbac.yaml.
var accounts = map[string]string{"admin": "system:masters", "deployer": "runsheet:deployers", "scaler": "runsheet:scalers", "viewer": "runsheet:viewers"}

// The account of the ticket service, which is none of the cluster's.
const ticketService = "ticket-service"

// How long a cluster may take to be ready.
const patience = 30 * time.Second

// up starts a cluster in this folder, which must be empty or not be there, and returns when it is ready. KEDA comes from the folder that
// tests/keda/build has printed, or not at all.
func up(folder, keda string) error {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(folder, "etcd.args")); err == nil {
		return fmt.Errorf("there is a cluster in %s: stop it and remove the folder", folder)
	}
	if err := bringUp(folder, keda); err != nil {
		// What was started must not stay behind; its logs do.
		if problem := stop(folder); problem != nil {
			fmt.Fprintln(os.Stderr, problem)
		}
		return fmt.Errorf("%w\nthe processes' logs are in %s", err, folder)
	}
	return nil
}

func bringUp(folder, keda string) error {
	in := func(name string) string { return filepath.Join(folder, name) }
	ports, err := freePorts(8)
	if err != nil {
		return err
	}
	etcdPort, peerPort, apiPort, metricsPort, ticketsPort, kubeletPort := ports[0], ports[1], ports[2], ports[3], ports[4], ports[5]
	operatorPort, externalPort := ports[6], ports[7]
	server := fmt.Sprintf("https://127.0.0.1:%d", apiPort)
	tokens, err := credentials(folder, server)
	if err != nil {
		return err
	}
	if err := os.WriteFile(in("egress.yaml"), []byte(egress(in("network.sock"))), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(in("pod.log"), podLog(), 0o600); err != nil {
		return err
	}
	places := strings.NewReplacer("LOG_FILE", in("pod.log"), "TICKETS_PORT", fmt.Sprint(ticketsPort), "EXEC_FOLDER", folder)
	if err := os.WriteFile(in("stages.yaml"), []byte(places.Replace(string(stages))), 0o600); err != nil {
		return err
	}
	etcd := fmt.Sprintf("http://127.0.0.1:%d", etcdPort)
	peer := fmt.Sprintf("http://127.0.0.1:%d", peerPort)
	if err := declare(folder, "etcd", "--data-dir", in("etcd"), "--listen-client-urls", etcd, "--advertise-client-urls", etcd,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer,
		"--log-level", "warn", "--unsafe-no-fsync"); err != nil {
		return err
	}
	if err := declare(folder, "kube-apiserver",
		"--etcd-servers", etcd, "--bind-address", "127.0.0.1", "--secure-port", fmt.Sprint(apiPort), "--advertise-address", serviceAddress.String(),
		"--tls-cert-file", in("kube-apiserver.crt"), "--tls-private-key-file", in("kube-apiserver.key"), "--client-ca-file", in("ca.crt"),
		"--token-auth-file", in("tokens.csv"), "--authorization-mode", "RBAC", "--anonymous-auth=false",
		"--service-cluster-ip-range", "10.96.0.0/16", "--endpoint-reconciler-type", "none",
		"--service-account-issuer", "https://kubernetes.default.svc", "--service-account-key-file", in("service-account.key"),
		"--service-account-signing-key-file", in("service-account.key"),
		// Pods need no account of their own here, and need not wait for one.
		"--disable-admission-plugins", "ServiceAccount",
		"--kubelet-client-certificate", in("kube-apiserver.crt"), "--kubelet-client-key", in("kube-apiserver.key"),
		"--kubelet-preferred-address-types", "InternalIP",
		"--requestheader-client-ca-file", in("ca.crt"), "--requestheader-allowed-names", "runsheet-test-aggregator",
		"--requestheader-username-headers", "X-Remote-User", "--requestheader-group-headers", "X-Remote-Group",
		"--requestheader-extra-headers-prefix", "X-Remote-Extra-",
		"--proxy-client-cert-file", in("aggregator.crt"), "--proxy-client-key-file", in("aggregator.key"),
		"--egress-selector-config-file", in("egress.yaml"), "--profiling=false", "--watch-cache=true",
		// A server that is stopped does not wait for its watches.
		"--shutdown-delay-duration", "0s"); err != nil {
		return err
	}
	if err := declare(folder, "surroundings", "--kubeconfig", in("admin.kubeconfig"), "--network", in("network.sock"),
		"--metrics", fmt.Sprintf("127.0.0.1:%d", metricsPort), "--tickets", fmt.Sprintf("127.0.0.1:%d", ticketsPort),
		"--kubelet", fmt.Sprintf("127.0.0.1:%d", kubeletPort), "--certificate", in("surroundings"), "--service-token-file", in("service-token")); err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", in("admin.kubeconfig"))
	if err != nil {
		return err
	}
	config.QPS, config.Burst = 200, 400
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return err
	}
	ready := func() error {
		_, err := client.RESTClient().Get().AbsPath("/readyz").Timeout(5 * time.Second).DoRaw(context.Background())
		return err
	}
	if err := until("the API server is ready", patience, ready); err != nil {
		return err
	}
	if err := create(config, client, metricsPort, keda, externalPort); err != nil {
		return err
	}
	if err := controllers(folder, in("admin.kubeconfig"), kubeletPort); err != nil {
		return err
	}
	if keda != "" {
		if err := startKEDA(folder, keda, operatorPort, externalPort); err != nil {
			return err
		}
	}
	return describe(folder, server, tokens, config, client, ticketsPort, keda != "")
}

// podLog is the log that every container has, as a container runtime writes it.
func podLog() []byte {
	var lines strings.Builder
	now := time.Now().UTC()
	for second := range 20 {
		at := now.Add(time.Duration(second-20) * time.Second).Format(time.RFC3339Nano)
		fmt.Fprintf(&lines, "%s stdout F {\"level\":\"info\",\"msg\":\"request %d answered\"}\n", at, second)
	}
	return []byte(lines.String())
}

func controllers(folder, kubeconfig string, kubeletPort int) error {
	in := func(name string) string { return filepath.Join(folder, name) }
	if err := declare(folder, "kube-controller-manager", "--kubeconfig", kubeconfig, "--leader-elect=false", "--secure-port", "0",
		"--kube-api-qps", "300", "--kube-api-burst", "600", "--root-ca-file", in("ca.crt"), "--profiling=false",
		"--controllers", "deployment-controller,replicaset-controller,statefulset-controller,job-controller,horizontal-pod-autoscaler-controller,"+
			"resourcequota-controller,endpointslice-controller,endpoints-controller,disruption-controller,namespace-controller,"+
			"garbage-collector-controller,pod-garbage-collector-controller,node-lifecycle-controller,ttl-after-finished-controller",
		// An autoscaler that is looked at for minutes is of no use to a test.
		"--horizontal-pod-autoscaler-sync-period", "1s", "--horizontal-pod-autoscaler-downscale-stabilization", "2s",
		"--horizontal-pod-autoscaler-initial-readiness-delay", "1s", "--horizontal-pod-autoscaler-cpu-initialization-period", "1s",
		// Quotas are counted anew when pods go, and not every few seconds: a count from a cache that is behind lets one pod too many in.
		"--namespace-sync-period", "30s",
		// Where the API server is killed for a while, no node has been lost.
		"--node-monitor-grace-period", "1h"); err != nil {
		return err
	}
	if err := declare(folder, "kube-scheduler", "--kubeconfig", kubeconfig, "--leader-elect=false", "--secure-port", "0",
		"--kube-api-qps", "300", "--kube-api-burst", "600", "--profiling=false"); err != nil {
		return err
	}
	return declare(folder, "kwok", "--kubeconfig", kubeconfig, "--config", in("stages.yaml"), "--manage-all-nodes", "--cidr", "10.244.0.0/16",
		"--node-ip", "10.0.0.10", "--server-address", fmt.Sprintf("127.0.0.1:%d", kubeletPort),
		"--tls-cert-file", in("surroundings.crt"), "--tls-private-key-file", in("surroundings.key"), "--node-port", fmt.Sprint(kubeletPort), "--node-lease-duration-seconds", "40")
}

// credentials writes every certificate, key, token and kubeconfig, and returns the tokens.
func credentials(folder, server string) (map[string]string, error) {
	in := func(name string) string { return filepath.Join(folder, name) }
	ca, err := newAuthority(folder)
	if err != nil {
		return nil, err
	}
	issued := map[string]pkix.Name{
		"kube-apiserver": {CommonName: "kube-apiserver", Organization: []string{"system:masters"}},
		"aggregator":     {CommonName: "runsheet-test-aggregator"},
		"surroundings":   {CommonName: "localhost"},
		kedaAccount:      {CommonName: kedaAccount, Organization: []string{"system:masters"}},
	}
	for name, group := range accounts {
		issued[name] = pkix.Name{CommonName: name, Organization: []string{group}}
	}
	for name, subject := range issued {
		if err := ca.issue(name, subject); err != nil {
			return nil, err
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	if err := write(folder, "service-account.key", "EC PRIVATE KEY", private); err != nil {
		return nil, err
	}
	tokens := map[string]string{ticketService: token()}
	if err := os.WriteFile(in("service-token"), []byte(tokens[ticketService]), 0o600); err != nil {
		return nil, err
	}
	if err := kubeconfig(folder, kedaAccount, server); err != nil {
		return nil, err
	}
	var lines strings.Builder
	for name, group := range accounts {
		tokens[name] = token()
		fmt.Fprintf(&lines, "%s,%s,%s,%q\n", tokens[name], name, name, group)
		if err := kubeconfig(folder, name, server); err != nil {
			return nil, err
		}
	}
	return tokens, os.WriteFile(in("tokens.csv"), []byte(lines.String()), 0o600)
}

func token() string {
	secret := make([]byte, 16)
	// It never fails: the program ends where the system has no randomness.
	_, _ = rand.Read(secret)
	return hex.EncodeToString(secret)
}

func kubeconfig(folder, account, server string) error {
	config := api.NewConfig()
	config.Clusters["runsheet-test"] = &api.Cluster{Server: server, CertificateAuthority: filepath.Join(folder, "ca.crt")}
	config.AuthInfos[account] = &api.AuthInfo{
		ClientCertificate: filepath.Join(folder, account+".crt"), ClientKey: filepath.Join(folder, account+".key"),
	}
	config.Contexts[account] = &api.Context{Cluster: "runsheet-test", AuthInfo: account, Namespace: "default"}
	config.CurrentContext = account
	return clientcmd.WriteToFile(*config, filepath.Join(folder, account+".kubeconfig"))
}

// egress sends what the API server has to say to pods, kubelets and Services through a proxy, since pods have no addresses that lead anywhere.
func egress(socket string) string {
	return fmt.Sprintf(`apiVersion: apiserver.k8s.io/v1beta1
kind: EgressSelectorConfiguration
egressSelections:
- name: cluster
  connection:
    proxyProtocol: HTTPConnect
    transport:
      uds:
        udsName: %q
- name: controlplane
  connection:
    proxyProtocol: Direct
- name: etcd
  connection:
    proxyProtocol: Direct
`, socket)
}

// A file of objects.
type file struct {
	name string
	text []byte
}

// create makes the objects that every cluster has, and KEDA's definitions where it is given.
func create(config *rest.Config, client *discovery.DiscoveryClient, metricsPort int, keda string, externalPort int) error {
	groups, err := restmapper.GetAPIGroupResources(client)
	if err != nil {
		return err
	}
	mapper := restmapper.NewDiscoveryRESTMapper(groups)
	dynamic, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	texts, err := fs.Glob(objects, "objects/*.yaml")
	if err != nil {
		return err
	}
	var files []file
	for _, name := range texts {
		text, err := objects.ReadFile(name)
		if err != nil {
			return err
		}
		files = append(files, file{name, text})
	}
	if keda != "" {
		definitions, err := kedaDefinitions(keda)
		if err != nil {
			return err
		}
		files = append(append(files, definitions...), kedaMetrics(externalPort))
	}
	for _, file := range files {
		documents := strings.Split(strings.ReplaceAll(string(file.text), "METRICS_PORT", fmt.Sprint(metricsPort)), "\n---\n")
		for _, document := range documents {
			object := &unstructured.Unstructured{}
			if err := yaml.Unmarshal([]byte(document), &object.Object); err != nil {
				return fmt.Errorf("%s: %w", file.name, err)
			}
			kind := object.GroupVersionKind()
			mapping, err := mapper.RESTMapping(schema.GroupKind{Group: kind.Group, Kind: kind.Kind}, kind.Version)
			if err != nil {
				return fmt.Errorf("%s: %w", file.name, err)
			}
			// The empty namespace stands for none.
			resource := dynamic.Resource(mapping.Resource).Namespace(object.GetNamespace())
			made := func() error {
				_, err := resource.Create(context.Background(), object, metav1.CreateOptions{})
				return err
			}
			if err := until(fmt.Sprintf("%s %s is made", kind.Kind, object.GetName()), patience, made); err != nil {
				return err
			}
		}
	}
	return served(dynamic)
}

// served waits until what the definitions define can be asked for. The controllers start after it: each that learns of a kind later puts its work
// off until it knows everything of it.
func served(dynamic dynamic.Interface) error {
	kinds := schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	definitions, err := dynamic.Resource(kinds).List(context.Background(), metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, definition := range definitions.Items {
		group, _, _ := unstructured.NestedString(definition.Object, "spec", "group")
		plural, _, _ := unstructured.NestedString(definition.Object, "spec", "names", "plural")
		versions, _, _ := unstructured.NestedSlice(definition.Object, "spec", "versions")
		version, _ := versions[0].(map[string]any)["name"].(string)
		resource := dynamic.Resource(schema.GroupVersionResource{Group: group, Version: version, Resource: plural})
		asked := func() error {
			_, err := resource.List(context.Background(), metav1.ListOptions{})
			return err
		}
		if err := until(definition.GetName()+" is served", patience, asked); err != nil {
			return err
		}
	}
	return nil
}

// describe waits until nodes and metrics are there, and writes cluster.json.
func describe(folder, server string, tokens map[string]string, config *rest.Config, client *discovery.DiscoveryClient, ticketsPort int, keda bool) error {
	dynamic, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	nodes := func() error {
		list, err := dynamic.Resource(schema.GroupVersionResource{Version: "v1", Resource: "nodes"}).List(context.Background(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, node := range list.Items {
			taints, _, _ := unstructured.NestedSlice(node.Object, "spec", "taints")
			if !isReady(node.Object) || len(taints) > 0 {
				return fmt.Errorf("node %s is not ready", node.GetName())
			}
		}
		return nil
	}
	if err := until("the nodes are ready", patience, nodes); err != nil {
		return err
	}
	metrics := func() error {
		_, err := client.RESTClient().Get().AbsPath("/apis/metrics.k8s.io/v1beta1/nodes").DoRaw(context.Background())
		if err == nil && keda {
			_, err = client.RESTClient().Get().AbsPath("/apis/external.metrics.k8s.io/v1beta1").DoRaw(context.Background())
		}
		return err
	}
	if err := until("the metrics are served", patience, metrics); err != nil {
		return err
	}
	system, err := dynamic.Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}).
		Get(context.Background(), "kube-system", metav1.GetOptions{})
	if err != nil {
		return err
	}
	version, err := client.ServerVersion()
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(map[string]any{
		"server": server, "uid": system.GetUID(), "version": version.GitVersion, "tokens": tokens,
		"ticket_service": map[string]string{"url": fmt.Sprintf("http://127.0.0.1:%d", ticketsPort), "token": tokens[ticketService]},
	}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "cluster.json"), append(text, '\n'), 0o600)
}

// isReady tells whether the condition Ready of a node or pod is true.
func isReady(object map[string]any) bool {
	conditions, _, _ := unstructured.NestedSlice(object, "status", "conditions")
	for _, condition := range conditions {
		if condition, ok := condition.(map[string]any); ok && condition["type"] == "Ready" && condition["status"] == "True" {
			return true
		}
	}
	return false
}
