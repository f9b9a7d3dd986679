{{/* What the agent is told, and what of the node it is given. docs/install.md says why it needs each. */}}

{{- define "tallyman.policyConfigMap" -}}
{{- .Values.agent.policy.existingConfigMap | default (printf "%s-policy" (include "tallyman.agent" .)) }}
{{- end }}

{{- define "tallyman.registries" -}}
{{- with .Values.agent.registry }}
{{- ternary .configDir "/etc/tallyman-registries" (empty .hosts) }}
{{- end }}
{{- end }}

{{- define "tallyman.agentArgs" -}}
{{- with .Values.agent -}}
- --host-root=/host
- --policy-file=/etc/tallyman/policy.yaml
- {{ printf "--registry-config-dir=%s" (include "tallyman.registries" $) | quote }}
- {{ printf "--containerd-address=%s" .containerd.socket | quote }}
- {{ printf "--containerd-namespace=%s" .containerd.namespace | quote }}
- {{ printf "--snapshotter=%s" .containerd.snapshotter | quote }}
- {{ printf "--run-dir=%s" .runDir | quote }}
- {{ printf "--log-dir=%s" .logDir | quote }}
- {{ printf "--seccomp-dir=%s" .seccompDir | quote }}
{{- with .initPath }}
- {{ printf "--init-path=%s" . | quote }}
{{- end }}
{{- range .runtimes }}
- {{ printf "--runtime=%s" . | quote }}
{{- end }}
{{- range $name, $value := .nodeLabels }}
- {{ printf "--node-label=%s=%s" $name $value | quote }}
{{- end }}
{{- with .maxContainers }}
- --max-containers={{ int . }}
{{- end }}
{{- with .reservedCPU }}
- {{ printf "--reserved-cpu=%v" . | quote }}
{{- end }}
{{- with .reservedMemory }}
- {{ printf "--reserved-memory=%s" (kindIs "string" . | ternary . (int64 . | toString)) | quote }}
{{- end }}
- --lease-duration-seconds={{ int .leaseDurationSeconds }}
{{- if .standalone }}
- --standalone
{{- end }}
{{- if not .containerMetrics }}
- --no-container-metrics
{{- end }}
- --workers={{ int .workers }}
- --list-seconds={{ .listSeconds }}
- --stale-seconds={{ .staleSeconds }}
- --log-level={{ .logLevel }}
- --log-format={{ .logFormat }}
- --metrics-address=$(POD_IP):{{ int .metricsPort }}
{{- range .extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}

{{- define "tallyman.agentEnv" -}}
- name: NODE_NAME
  valueFrom:
    fieldRef:
      fieldPath: spec.nodeName
- name: POD_IP
  valueFrom:
    fieldRef:
      fieldPath: status.podIP
- name: TALLYMAN_LEASE_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
{{- with .Values.agent.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* HostToContainer, wherever the node mounts something later: else the agent would keep what the node has unmounted. */}}
{{- define "tallyman.agentVolumeMounts" -}}
{{- with .Values.agent -}}
# The node's files: host paths and devices of Containers are checked, and made, here.
- name: host
  mountPath: /host
  mountPropagation: HostToContainer
# The socket's directory, for containerd makes the socket anew when it starts. Read-only: connecting is no writing.
- name: containerd-socket
  mountPath: {{ dir .containerd.socket }}
  readOnly: true
  mountPropagation: HostToContainer
# Layers of images at the paths that containerd names: users and groups are looked up in them.
- name: containerd-root
  mountPath: {{ .containerd.root }}
  readOnly: true
  mountPropagation: HostToContainer
# FIFOs and logs, at the node's own paths, for containers' shims open them.
- name: run
  mountPath: {{ .runDir }}
- name: logs
  mountPath: {{ .logDir }}
# Which processes a container has, and whether the kernel killed one. Writable, to clear what a vanished OCI runtime leaves.
- name: cgroup
  mountPath: /sys/fs/cgroup
- name: seccomp
  mountPath: {{ .seccompDir }}
  readOnly: true
- name: registries
  mountPath: {{ include "tallyman.registries" $ }}
  readOnly: true
# The directory, not the file: so a change of the ConfigMap arrives.
- name: policy
  mountPath: /etc/tallyman
  readOnly: true
- name: tmp
  mountPath: /tmp
{{- with .extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}
{{- end }}

{{- define "tallyman.agentVolumes" -}}
{{- $policy := include "tallyman.policyConfigMap" . }}
{{- $registries := printf "%s-registries" (include "tallyman.agent" .) }}
{{- with .Values.agent -}}
- name: host
  hostPath:
    path: /
    type: Directory
- name: containerd-socket
  hostPath:
    path: {{ dir .containerd.socket }}
    type: Directory
- name: containerd-root
  hostPath:
    path: {{ .containerd.root }}
    type: Directory
- name: run
  hostPath:
    path: {{ .runDir }}
    type: DirectoryOrCreate
- name: logs
  hostPath:
    path: {{ .logDir }}
    type: DirectoryOrCreate
- name: cgroup
  hostPath:
    path: /sys/fs/cgroup
    type: Directory
- name: seccomp
  hostPath:
    path: {{ .seccompDir }}
    type: DirectoryOrCreate
- name: registries
  {{- if .registry.hosts }}
  configMap:
    name: {{ $registries }}
    items:
      {{- range $index, $host := keys .registry.hosts | sortAlpha }}
      - key: {{ printf "%d.toml" $index }}
        path: {{ printf "%s/hosts.toml" $host | quote }}
      {{- end }}
  {{- else }}
  hostPath:
    path: {{ .registry.configDir }}
    type: DirectoryOrCreate
  {{- end }}
- name: policy
  configMap:
    name: {{ $policy }}
- name: tmp
  emptyDir: {}
{{- with .extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
{{- end }}
