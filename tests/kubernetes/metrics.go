package main

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	listers "k8s.io/client-go/listers/core/v1"
	api "k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

// The ConfigMap of a namespace that says what its pods use: APP.cpu is shared by all ready pods with the label app=APP, APP.memory is what each
// of them uses. Without it a pod uses next to nothing.
const load = "load"

// metrics are the group metrics.k8s.io/v1beta1, which the aggregation layer asks for.
type metrics struct {
	pods     listers.PodLister
	settings listers.ConfigMapLister
	nodes    listers.NodeLister
}

const prefix = "/apis/metrics.k8s.io/v1beta1"

func (m *metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rest, found := strings.CutPrefix(r.URL.Path, prefix)
	parts := strings.Split(strings.Trim(rest, "/"), "/")
	switch {
	case !found:
		answer(w, http.StatusNotFound, metav1.Status{Status: metav1.StatusFailure, Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound})
	case rest == "":
		verbs := metav1.Verbs{"get", "list"}
		answer(w, http.StatusOK, metav1.APIResourceList{
			TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: "metrics.k8s.io/v1beta1",
			APIResources: []metav1.APIResource{
				{Name: "nodes", Kind: "NodeMetrics", Verbs: verbs}, {Name: "pods", Kind: "PodMetrics", Namespaced: true, Verbs: verbs},
			},
		})
	case rest == "/nodes":
		m.listNodes(w)
	case rest == "/pods":
		m.listPods(w, r, "")
	case len(parts) == 3 && parts[0] == "namespaces" && parts[2] == "pods":
		m.listPods(w, r, parts[1])
	default:
		answer(w, http.StatusNotFound, metav1.Status{Status: metav1.StatusFailure, Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound})
	}
}

func (m *metrics) listNodes(w http.ResponseWriter) {
	nodes, _ := m.nodes.List(labels.Everything())
	list := api.NodeMetricsList{TypeMeta: metav1.TypeMeta{Kind: "NodeMetricsList", APIVersion: "metrics.k8s.io/v1beta1"}}
	for _, node := range nodes {
		list.Items = append(list.Items, api.NodeMetrics{
			ObjectMeta: metav1.ObjectMeta{Name: node.Name}, Timestamp: metav1.Now(), Window: window,
			Usage: core.ResourceList{core.ResourceCPU: resource.MustParse("100m"), core.ResourceMemory: resource.MustParse("1Gi")},
		})
	}
	answer(w, http.StatusOK, list)
}

var window = metav1.Duration{Duration: time.Second}

func (m *metrics) listPods(w http.ResponseWriter, r *http.Request, namespace string) {
	selector, err := labels.Parse(r.URL.Query().Get("labelSelector"))
	if err != nil {
		answer(w, http.StatusBadRequest, metav1.Status{Status: metav1.StatusFailure, Code: http.StatusBadRequest, Message: err.Error()})
		return
	}
	list := api.PodMetricsList{TypeMeta: metav1.TypeMeta{Kind: "PodMetricsList", APIVersion: "metrics.k8s.io/v1beta1"}, Items: []api.PodMetrics{}}
	pods, _ := m.pods.List(selector)
	ready := map[string]int64{}
	for _, pod := range pods {
		if uses(pod) {
			ready[pod.Namespace+"/"+pod.Labels["app"]]++
		}
	}
	for _, pod := range pods {
		if (namespace != "" && pod.Namespace != namespace) || !uses(pod) {
			continue
		}
		app := pod.Labels["app"]
		cpu, memory := m.usage(pod.Namespace, app)
		share := resource.NewMilliQuantity(cpu.MilliValue()/ready[pod.Namespace+"/"+app], resource.DecimalSI)
		metric := api.PodMetrics{ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace}, Timestamp: metav1.Now(), Window: window}
		for _, container := range pod.Spec.Containers {
			metric.Containers = append(metric.Containers, api.ContainerMetrics{
				Name: container.Name, Usage: core.ResourceList{core.ResourceCPU: *share, core.ResourceMemory: memory},
			})
		}
		list.Items = append(list.Items, metric)
	}
	answer(w, http.StatusOK, list)
}

// usage is what all pods of an app use of CPU together, and each of memory.
func (m *metrics) usage(namespace, app string) (resource.Quantity, resource.Quantity) {
	cpu, memory := resource.MustParse("1m"), resource.MustParse("16Mi")
	settings, err := m.settings.ConfigMaps(namespace).Get(load)
	if err != nil {
		return cpu, memory
	}
	read := func(what string, into *resource.Quantity) {
		if quantity, err := resource.ParseQuantity(settings.Data[fmt.Sprintf("%s.%s", app, what)]); err == nil {
			*into = quantity
		}
	}
	read("cpu", &cpu)
	read("memory", &memory)
	return cpu, memory
}

// uses tells whether a pod is one that takes its share of the load.
func uses(pod *core.Pod) bool {
	if pod.DeletionTimestamp != nil {
		return false
	}
	for _, condition := range pod.Status.Conditions {
		if condition.Type == core.PodReady {
			return condition.Status == core.ConditionTrue
		}
	}
	return false
}
