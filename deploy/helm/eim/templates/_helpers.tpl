{{- define "eim.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "eim.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "eim.labels" -}}
{{ include "eim.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "eim.image" -}}
{{ printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}

{{- define "eim.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}{{ default (include "eim.name" .) .Values.serviceAccount.name }}{{ else }}{{ default "default" .Values.serviceAccount.name }}{{ end }}
{{- end }}

{{- define "eim.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "eim.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{- define "eim.storeUrl" -}}
- name: EIM__STORE__URL
  valueFrom:
    secretKeyRef: { name: {{ .Values.secrets.store.name }}, key: {{ .Values.secrets.store.key }} }
{{- end }}

{{- /* What fronts and workers have in common. */}}
{{- define "eim.environment" -}}
{{ include "eim.storeUrl" . }}
- name: EIM__QUEUE__URL
  valueFrom:
    secretKeyRef: { name: {{ .Values.secrets.queue.name }}, key: {{ .Values.secrets.queue.key }} }
- name: EIM__EIM__FQDN
  value: {{ required "eim.fqdn: the host name that devices contact" .Values.eim.fqdn | quote }}
- name: EIM__EIM__ID_TYPE
  value: {{ .Values.eim.idType | quote }}
{{- if ne .Values.eim.idType "fqdn" }}
- name: EIM__EIM__ID
  value: {{ required "eim.id: the eimId (or eim.idType: fqdn)" .Values.eim.id | quote }}
{{- else if .Values.eim.id }}
- name: EIM__EIM__ID
  value: {{ .Values.eim.id | quote }}
{{- end }}
- name: EIM__SECRETS__KEY
  value: /etc/eim/secrets-key/{{ .Values.secrets.secretsKey.key }}
{{- if .Values.ciRoots.configMap }}
- name: EIM__PKI__CI_DIR
  value: /etc/eim/ci
{{- end }}
{{- range $name, $value := .Values.config }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{- define "eim.mounts" -}}
- { name: data, mountPath: /var/lib/eim }
- { name: secrets-key, mountPath: /etc/eim/secrets-key, readOnly: true }
{{- if .Values.ciRoots.configMap }}
- { name: ci, mountPath: /etc/eim/ci, readOnly: true }
{{- end }}
{{- end }}

{{- define "eim.volumes" -}}
{{- /* Nothing in it is worth keeping: eimId, keys and certificate are given. Portable imports lie there while they are checked, each of limits.import_bytes at most. */}}
- { name: data, emptyDir: { sizeLimit: 1Gi } }
- { name: secrets-key, secret: { secretName: {{ .Values.secrets.secretsKey.name }}, defaultMode: 0400 } }
{{- if .Values.ciRoots.configMap }}
- { name: ci, configMap: { name: {{ .Values.ciRoots.configMap }} } }
{{- end }}
{{- end }}

{{- define "eim.probes" -}}
startupProbe:
  httpGet: { path: /healthz, port: monitoring }
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: { path: /healthz, port: monitoring }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: { path: /readyz, port: monitoring }
  periodSeconds: 5
  timeoutSeconds: 4
  failureThreshold: 3
{{- end }}

{{- /* Pods of a role apart from each other where that is possible. */}}
{{- define "eim.spread" -}}
- maxSkew: 1
  topologyKey: kubernetes.io/hostname
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "eim.selector" .root | nindent 6 }}
      app.kubernetes.io/component: {{ .role }}
{{- end }}
