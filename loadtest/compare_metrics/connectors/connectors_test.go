// Both connectors and the Prometheus exporter of a collector, on a clock of their own: what they
// do in an hour takes them milliseconds, and it is the same each time.
//
// It is a test only because a test may have such a clock. CONNECTORS_IN is a file with a job on
// each line, CONNECTORS_OUT one that gets an answer on each.
package connectors

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/connector/servicegraphconnector"
	"github.com/open-telemetry/opentelemetry-collector-contrib/connector/spanmetricsconnector"
	"github.com/open-telemetry/opentelemetry-collector-contrib/exporter/prometheusexporter"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/xconfmap"
	"go.opentelemetry.io/collector/connector"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// A job is a config of both connectors, by the names of their sections, and what comes when.
type job struct {
	Config   string    `json:"config"`
	Messages []message `json:"messages"`
	Until    float64   `json:"until"`
	Expose   bool      `json:"expose"`
}

// A message of spans, and how many seconds after the start it comes.
type message struct {
	At    float64 `json:"at"`
	Value []byte  `json:"value"`
}

// An answer has every flush in order, and what the exporter shows after them.
type answer struct {
	Flushes    []flush `json:"flushes"`
	Exposition string  `json:"exposition,omitempty"`
	Error      string  `json:"error,omitempty"`
}

type flush struct {
	At    float64 `json:"at"`
	Of    string  `json:"of"`
	Value []byte  `json:"value"`
	built pmetric.Metrics
}

var factories = map[string]connector.Factory{
	"span_metrics":  spanmetricsconnector.NewFactory(),
	"service_graph": servicegraphconnector.NewFactory(),
}

func TestJobs(t *testing.T) {
	in, err := os.Open(os.Getenv("CONNECTORS_IN"))
	check(err)
	out, err := os.Create(os.Getenv("CONNECTORS_OUT"))
	check(err)
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			check(out.Close())
			return
		}
		check(err)
		var asked job
		check(json.Unmarshal(line, &asked))
		text, err := json.Marshal(answered(t, asked))
		check(err)
		_, err = out.Write(append(text, '\n'))
		check(err)
	}
}

func answered(t *testing.T, asked job) answer {
	configs, err := configured(asked.Config)
	if err != nil {
		return answer{Error: err.Error()}
	}
	var found answer
	synctest.Test(t, func(*testing.T) { found.Flushes, err = flushed(asked, configs) })
	if err == nil && asked.Expose {
		found.Exposition, err = exposed(found.Flushes)
	}
	if err != nil {
		found.Error = err.Error()
	}
	return found
}

// configured reads and checks a config as a collector does.
func configured(text string) (map[string]component.Config, error) {
	read, err := confmap.NewRetrievedFromYAML([]byte(text))
	check(err)
	whole, err := read.AsConf()
	check(err)
	found := map[string]component.Config{}
	for name, factory := range factories {
		if !whole.IsSet(name) {
			continue
		}
		section, err := whole.Sub(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		config := factory.CreateDefaultConfig()
		if err = section.Unmarshal(config); err == nil {
			err = xconfmap.Validate(config)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		found[name] = config
	}
	return found, nil
}

// flushed is everything that the connectors write until the job ends.
func flushed(asked job, configs map[string]component.Config) ([]flush, error) {
	begin := time.Now()
	var lock sync.Mutex
	var found []flush
	parts := []connector.Traces{}
	for name, config := range configs {
		sink, err := consumer.NewMetrics(func(_ context.Context, metrics pmetric.Metrics) error {
			built, texts := pmetric.NewMetrics(), pmetric.NewMetrics()
			metrics.CopyTo(built)
			metrics.CopyTo(texts)
			inWords(texts)
			value, err := (&pmetric.ProtoMarshaler{}).MarshalMetrics(texts)
			lock.Lock()
			defer lock.Unlock()
			found = append(found, flush{time.Since(begin).Seconds(), name, value, built})
			return err
		})
		check(err)
		part, err := factories[name].CreateTracesToMetrics(context.Background(), settings(factories[name]), config, sink)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		check(part.Start(context.Background(), componenttest.NewNopHost()))
		parts = append(parts, part)
	}
	for _, each := range asked.Messages {
		time.Sleep(time.Until(begin.Add(seconds(each.At))))
		for _, part := range parts {
			spans, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(each.Value)
			if err != nil {
				return nil, err
			}
			check(part.ConsumeTraces(context.Background(), spans))
		}
		synctest.Wait()
	}
	time.Sleep(time.Until(begin.Add(seconds(asked.Until))))
	for _, part := range parts {
		check(part.Shutdown(context.Background()))
	}
	return found, nil
}

// inWords makes every attribute the text that it becomes as a label.
func inWords(metrics pmetric.Metrics) {
	for _, block := range metrics.ResourceMetrics().All() {
		asTexts(block.Resource().Attributes())
		for _, scope := range block.ScopeMetrics().All() {
			for _, metric := range scope.Metrics().All() {
				switch metric.Type() {
				case pmetric.MetricTypeSum:
					for _, point := range metric.Sum().DataPoints().All() {
						asTexts(point.Attributes())
					}
				case pmetric.MetricTypeHistogram:
					for _, point := range metric.Histogram().DataPoints().All() {
						asTexts(point.Attributes())
					}
				case pmetric.MetricTypeExponentialHistogram:
					for _, point := range metric.ExponentialHistogram().DataPoints().All() {
						asTexts(point.Attributes())
					}
				default:
					panic("no connector writes " + metric.Type().String())
				}
			}
		}
	}
}

func asTexts(attributes pcommon.Map) {
	for _, value := range attributes.All() {
		value.SetStr(value.AsString())
	}
}

func settings(factory connector.Factory) connector.Settings {
	telemetry := componenttest.NewNopTelemetrySettings()
	telemetry.Resource.Attributes().PutStr("collector.instance.id", "collector")
	return connector.Settings{ID: component.NewID(factory.Type()), TelemetrySettings: telemetry}
}

// exposed is what the Prometheus exporter shows, with its defaults, after all flushes.
func exposed(flushes []flush) (string, error) {
	ctx := context.Background()
	factory := prometheusexporter.NewFactory()
	config := factory.CreateDefaultConfig().(*prometheusexporter.Config)
	config.ServerConfig.NetAddr.Endpoint = freeAddress()
	set := exporter.Settings{ID: component.NewID(factory.Type()), TelemetrySettings: componenttest.NewNopTelemetrySettings()}
	part, err := factory.CreateMetrics(ctx, set, config)
	if err != nil {
		return "", err
	}
	check(part.Start(ctx, componenttest.NewNopHost()))
	defer func() { check(part.Shutdown(ctx)) }()
	for _, each := range flushes {
		if err := part.ConsumeMetrics(ctx, each.built); err != nil {
			return "", err
		}
	}
	response, err := http.Get("http://" + config.ServerConfig.NetAddr.Endpoint + "/metrics")
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return string(text), err
}

func freeAddress() string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	defer listener.Close()
	return listener.Addr().String()
}

func seconds(number float64) time.Duration {
	return time.Duration(number * float64(time.Second))
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
