import { afterAll, describe, it } from '@jest/globals';
import { registerSubjects } from './subjects.js';

registerSubjects({ describe, it }, afterAll);
