/** By which names the pods of a job find each other, once a headless Service of the job's name is there. */
import { objectOf, textOf } from './fields.ts'
import { podName } from './pods.ts'
import { indexesOf } from './record.ts'
import type { BatchJobSpec, TaskSpec } from './types.ts'

/** `<pod>.<job>`, or what the template says of its own host name and subdomain. */
export function hostOf(spec: BatchJobSpec, task: TaskSpec, index: number): string {
  const pod = objectOf(task.template['spec'])
  const host = textOf(pod['hostname']) ?? podName(spec.name, task.name, index)
  return `${host}.${textOf(pod['subdomain']) ?? spec.name}`
}

/** A template with a host name of its own gives all its pods the same one. */
export function hostsOf(spec: BatchJobSpec, task: TaskSpec): readonly string[] {
  return [...new Set(indexesOf(spec, task).map((index) => hostOf(spec, task, index)))]
}

export function taskNamed(spec: BatchJobSpec, name: string): TaskSpec | undefined {
  return spec.tasks.find((task) => task.name === name)
}
