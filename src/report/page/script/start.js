// Everything is prepared once; after that the page only answers.

document.addEventListener('click', openClicked);
document.addEventListener('keydown', event => {
  if (event.key === 'Escape' && shown !== null) hidePanel();
});
document.querySelectorAll('table.map').forEach(prepareMap);
document.querySelectorAll('svg.experts').forEach(prepareExperts);
prepareChoice();
prepareTable();
updateHints();
addEventListener('resize', updateHints);
document.documentElement.classList.add('is-live');
