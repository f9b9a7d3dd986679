{{/* What PodMonitors and ServiceMonitors say alike. */}}

{{/* How a target is scraped; called with the values of the monitor, and the job's name: agents and managers have one each, as the alerts ask. */}}
{{- define "tallyman.endpoint" -}}
path: /metrics
scheme: http
interval: {{ .monitor.interval }}
{{- with .monitor.scrapeTimeout }}
scrapeTimeout: {{ . }}
{{- end }}
honorLabels: {{ .monitor.honorLabels }}
relabelings:
  - action: replace
    replacement: {{ .job }}
    targetLabel: job
  - action: replace
    sourceLabels: [__meta_kubernetes_pod_node_name]
    targetLabel: node
  {{- with .monitor.relabelings }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .monitor.metricRelabelings }}
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
