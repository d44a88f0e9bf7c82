/**
 * What agents and set-ups are started in: the sandbox of `@nexus/shared/project` where one can be had, and the limits
 * of what they use. What a runtime's own program has to write beside, the runtime names (`alsoWrites`).
 */
import type { Limits, Sandbox } from '@nexus/shared/process';
import { openFence, type SandboxState } from '@nexus/shared/project';
import type { WorkerConfig } from '../config.ts';

/** How a command is started: options of `run()`. */
export type Fence = { sandbox?: Sandbox; limits: Limits };

export type Fences = {
  agent: Fence;
  /** Installs what the project wants: with the network, whatever agents have. */
  setUp: Fence;
  says: SandboxState;
};

/** Looks once what this machine can do. Throws `SANDBOX_UNAVAILABLE` where the settings insist on what it cannot. */
export const openFences = async (
  settings: WorkerConfig,
  look?: NonNullable<Parameters<typeof openFence>[1]['look']>,
): Promise<Fences> => {
  const limits: Limits = {
    cpuMs: settings.agentCpuMax,
    memoryBytes: settings.agentMemoryMax,
    processes: settings.agentProcessesMax,
    fileBytes: settings.agentFileMax,
  };
  const hidden = settings.claudeFolder === undefined ? [] : [settings.claudeFolder];
  const { places, says } = await openFence(settings, { ground: 'workspaces', hidden, ...(look ? { look } : {}) });
  if (places === null) return { agent: { limits }, setUp: { limits }, says };
  return {
    agent: { sandbox: { ...places, network: settings.agentNetwork }, limits },
    setUp: { sandbox: { ...places, network: true }, limits },
    says,
  };
};
