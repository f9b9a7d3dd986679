{{/* What the manager is told. */}}

{{- define "tallyman.managerArgs" -}}
- --lost-deletion-seconds={{ int .Values.manager.lostDeletionSeconds }}
- --metrics-address=$(POD_IP):{{ int .Values.manager.metricsPort }}
{{- if .Values.webhook.enabled }}
- --webhook-address=$(POD_IP):{{ int .Values.webhook.port }}
{{- if .Values.webhook.certManager.enabled }}
- --webhook-cert-dir=/etc/tallyman/certificate
{{- else }}
- --webhook-configuration={{ include "tallyman.webhook" . }}
- --webhook-service={{ include "tallyman.webhook" . }}
{{- end }}
{{- end }}
- --log-level={{ .Values.manager.logLevel }}
- --log-format={{ .Values.manager.logFormat }}
{{- range .Values.manager.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end }}

{{- define "tallyman.managerSpread" -}}
{{- if .Values.manager.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml .Values.manager.topologySpreadConstraints | nindent 2 }}
{{- else if gt (int .Values.manager.replicas) 1 }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "tallyman.selectorLabels" (dict "context" . "component" "manager") | nindent 8 }}
{{- end }}
{{- end }}
