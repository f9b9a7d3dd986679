{{/* What PodMonitors and ServiceMonitors say alike. */}}

{{/* How a target is scraped; called with the values of the monitor. */}}
{{- define "tallyman.endpoint" -}}
path: /metrics
scheme: http
interval: {{ .interval }}
{{- with .scrapeTimeout }}
scrapeTimeout: {{ . }}
{{- end }}
honorLabels: {{ .honorLabels }}
relabelings:
  - action: replace
    sourceLabels: [__meta_kubernetes_pod_node_name]
    targetLabel: node
  {{- with .relabelings }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* What is scraped. */}}
{{- define "tallyman.monitored" -}}
namespaceSelector:
  matchNames:
    - {{ .context.Release.Namespace }}
selector:
  matchLabels:
    {{- include "tallyman.selectorLabels" . | nindent 4 }}
{{- if .monitor.attachNodeMetadata }}
attachMetadata:
  node: true
{{- end }}
{{- end }}
