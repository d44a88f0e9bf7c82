/** The model that the simulation runs on keeps the rules that the real scripts keep. */
import { conform } from '../integration/bus/conformance.ts';
import { Fabric } from './fabric.ts';

conform('the model', async () => Object.assign(new Fabric(), { close: async () => undefined }));
