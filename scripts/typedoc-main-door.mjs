// TypeDoc names a package's door after its path in `exports`, so that the main one, '.', has an empty name and a link without text.
import { Application, ReflectionKind } from 'typedoc';

export function load(app) {
  app.on(Application.EVENT_PROJECT_REVIVE, (project) => {
    for (const door of project.getReflectionsByKind(ReflectionKind.Module)) if (door.name === '') door.name = 'main';
  });
}
