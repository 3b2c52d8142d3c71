import { after, describe, it } from 'node:test';
import { registerSubjects } from './subjects.js';

registerSubjects({ describe, it }, after);
