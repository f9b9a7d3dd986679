{{/* The groups in files/alerts.yaml, with the labels and links that the values ask for, and without what they leave out: where no manager
is to run, nobody need be woken since there is none. */}}
{{- define "tallyman.alertGroups" -}}
{{- $values := .Values.prometheusRule }}
{{- $groups := list }}
{{- $ofManagers := "tallyman.manager" }}
{{- range (.Files.Get "files/alerts.yaml" | fromYaml).groups | default list }}
{{- $rules := list }}
{{- $applies := or (and $.Values.manager.enabled $.Values.manager.replicas) (ne .name $ofManagers) }}
{{- range .rules }}
{{- if and $applies (not (has .alert $values.disabled)) }}
{{- if .alert }}
{{- $_ := set . "labels" (mustMerge (.labels | default dict) $values.ruleLabels) }}
{{- if $values.runbookURL }}
{{- $link := dict "runbook_url" (printf "%s/%s.md" (trimSuffix "/" $values.runbookURL) .alert) }}
{{- $_ := set . "annotations" (mustMerge $link (.annotations | default dict)) }}
{{- end }}
{{- end }}
{{- $rules = append $rules . }}
{{- end }}
{{- end }}
{{- if $rules }}
{{- $groups = append $groups (mustMerge (dict "rules" $rules) (omit . "rules")) }}
{{- end }}
{{- end }}
{{- toYaml $groups }}
{{- end }}
