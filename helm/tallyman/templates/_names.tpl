{{/* Names, labels and annotations. Everything else is in the template that makes it. */}}

{{- define "tallyman.name" -}}
{{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The beginning of all names; short enough for the longest of the endings. */}}
{{- define "tallyman.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 48 | trimSuffix "-" }}
{{- else if contains (include "tallyman.name" .) .Release.Name -}}
{{ .Release.Name | trunc 48 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name (include "tallyman.name" .) | trunc 48 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "tallyman.agent" -}}
{{ include "tallyman.fullname" . }}-agent
{{- end }}

{{- define "tallyman.manager" -}}
{{ include "tallyman.fullname" . }}-manager
{{- end }}

{{- define "tallyman.webhook" -}}
{{ include "tallyman.fullname" . }}-webhook
{{- end }}

{{- define "tallyman.agentServiceAccount" -}}
{{- with .Values.agent.serviceAccount }}
{{- .name | default (include "tallyman.agent" $) }}
{{- end }}
{{- end }}

{{- define "tallyman.managerServiceAccount" -}}
{{- with .Values.manager.serviceAccount }}
{{- .name | default (include "tallyman.manager" $) }}
{{- end }}
{{- end }}

{{/* Whether there is a webhook: it is the manager that answers. */}}
{{- define "tallyman.hasWebhook" -}}
{{- if and .Values.manager.enabled .Values.webhook.enabled }}yes{{ end }}
{{- end }}

{{/* Whether anybody binds Containers to nodes. */}}
{{- define "tallyman.binds" -}}
{{- if or .Values.agent.standalone (and .Values.manager.enabled (gt (int .Values.manager.replicas) 0)) }}yes{{ end }}
{{- end }}

{{/* What selects the Pods of a component; never changes. Called with a dict of context and component, as are the others below. */}}
{{- define "tallyman.selectorLabels" -}}
app.kubernetes.io/name: {{ include "tallyman.name" .context }}
app.kubernetes.io/instance: {{ .context.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* Labels of an object; `more` are its own. */}}
{{- define "tallyman.labels" -}}
{{- $own := dict
  "app.kubernetes.io/name" (include "tallyman.name" .context)
  "app.kubernetes.io/instance" .context.Release.Name
  "app.kubernetes.io/component" .component
  "app.kubernetes.io/part-of" "tallyman"
  "app.kubernetes.io/version" .context.Chart.AppVersion
  "app.kubernetes.io/managed-by" .context.Release.Service
  "helm.sh/chart" (printf "%s-%s" .context.Chart.Name .context.Chart.Version | replace "+" "_")
}}
{{- mustMerge $own (.more | default dict) .context.Values.commonLabels | toYaml }}
{{- end }}

{{/* Labels of a Pod: without versions, so that a new chart alone replaces no Pod. */}}
{{- define "tallyman.podLabels" -}}
{{- $own := dict "app.kubernetes.io/part-of" "tallyman" }}
{{- $own = mustMerge $own (include "tallyman.selectorLabels" . | fromYaml) }}
{{- mustMerge $own (.more | default dict) .context.Values.commonLabels | toYaml }}
{{- end }}

{{/* Annotations of an object, if it has any: the whole field of its metadata. */}}
{{- define "tallyman.annotations" -}}
{{- with mustMerge (dict) (.more | default dict) .context.Values.commonAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
{{- end }}
{{- end }}

{{- define "tallyman.crdAnnotations" -}}
{{- $keep := ternary (dict "helm.sh/resource-policy" "keep") dict .Values.crds.keep }}
{{- with mustMerge $keep .Values.commonAnnotations }}
{{- toYaml . }}
{{- end }}
{{- end }}

{{- define "tallyman.image" -}}
{{- with .Values.image }}
{{- $repository := .registry | empty | ternary .repository (printf "%s/%s" .registry .repository) }}
{{- if .digest -}}
{{ $repository }}@{{ .digest }}
{{- else -}}
{{ $repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end }}
{{- end }}
{{- end }}
